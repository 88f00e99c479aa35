# MaskAttn-UNet's Table 8 at 32x32 (height x width).
_base_ = "./mask2former_r50_2xb4-1000e_coco-semantic-128x128.py"

train_pipeline = _base_.train_dataloader.dataset.pipeline
test_pipeline = _base_.test_dataloader.dataset.pipeline
train_pipeline[3].update(size=(32, 32))
test_pipeline[1].update(scale=(32, 32))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
