# A short run on a CPU, from scratch: not a setting of the paper's.
_base_ = [
    "./base.py",
    "../_base_/datasets/coco_mini_instance.py",
    "../_base_/schedules/iaunet_adamw_1e-3_1200i.py",
]
train_pipeline = _base_.train_dataloader.dataset.pipeline
test_pipeline = _base_.test_dataloader.dataset.pipeline
train_pipeline[3].update(size=(144, 256), keep_ratio=True, pad_val=116)
test_pipeline[1].update(scale=(256, 144), keep_ratio=True)
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
model = dict(mask_head=_base_.small)
