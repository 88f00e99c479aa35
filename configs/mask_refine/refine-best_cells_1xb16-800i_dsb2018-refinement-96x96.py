# refine_best for nuclei, and for the masks that a cell model gives: outlines that wander.
_base_ = "./refine_best.py"

max_iters = 800
crop = dict(_base_.crop, size=(96, 96), min_margin=12)
flip = dict(type="attnseg.FlipObject", vertical=0.5, turn=0.5)
drawn = dict(type="attnseg.CoarseMask", mode=dict(jitter=3, dilate=1))
pack = dict(type="attnseg.PackRefinement")
train_pipeline = [*_base_.train_pipeline[:3], flip, drawn, dict(crop, jitter=0.1), pack]
test_pipeline = [
    *_base_.test_pipeline[:2],
    dict(drawn, seed=_base_.mask_seed),
    crop,
    dict(pack, keep_masks=True),
]
train = dict(
    data_root="data/dsb2018/",
    ann_file="annotations/instances_train.json",
    data_prefix=dict(img="images/train/"),
    min_area=64,
    pipeline=train_pipeline,
)
val = dict(
    data_root="data/dsb2018/",
    ann_file="annotations/instances_val.json",
    data_prefix=dict(img="images/val/"),
    min_area=64,
    pipeline=test_pipeline,
)
train_dataloader = dict(dataset=train)
val_dataloader = dict(dataset=val)
test_dataloader = val_dataloader
# As measured: without the loss at the boundary.
model = dict(losses=_base_.model.losses[:2])
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=False, begin=50, end=max_iters),
]
