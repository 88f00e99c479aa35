# Cityscapes at 512x1024 (height x width): crops of half to twice that size, counted in iterations.
_base_ = "../cityscapes_semantic.py"

image_size = (512, 1024)
train_pipeline = _base_.train_dataloader.dataset.pipeline
test_pipeline = _base_.test_dataloader.dataset.pipeline
train_pipeline[3].update(size=image_size, ratio_range=(0.5, 2.0))
test_pipeline[1].update(scale=image_size[::-1])
train_dataloader = dict(
    batch_size=4,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
