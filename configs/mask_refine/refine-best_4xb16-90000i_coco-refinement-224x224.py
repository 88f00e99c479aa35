# refine_best on all objects of COCO 2017: 4 GPUs x 16 crops, 90000 iterations.
_base_ = "./refine_best.py"

max_iters = 90000
val_interval = 15000
data = dict(data_root="data/coco/")
train_dataloader = dict(dataset=data)
val_dataloader = dict(dataset=data)
test_dataloader = val_dataloader
train_cfg = dict(max_iters=max_iters, val_interval=val_interval)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=1000),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=False, begin=1000, end=max_iters),
]
default_hooks = dict(checkpoint=dict(interval=val_interval))
