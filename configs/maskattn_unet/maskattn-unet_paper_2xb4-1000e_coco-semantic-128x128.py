_base_ = [
    "./base_semantic.py",
    "../_base_/datasets/coco_semantic.py",
    "../_base_/schedules/adamw_5e-4_1000e.py",
]
model = dict(decode_head=dict(num_classes=_base_.num_classes))
train_dataloader = dict(batch_size=4)
