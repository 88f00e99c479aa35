_base_ = [
    "./base_instance.py",
    "../_base_/datasets/cityscapes_instance.py",
    "../_base_/schedules/adamw_5e-4_1000e.py",
]
model = dict(head=dict(num_things=_base_.num_classes))
train_dataloader = dict(batch_size=7)
