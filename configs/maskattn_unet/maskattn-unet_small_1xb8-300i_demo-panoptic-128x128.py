_base_ = [
    "./base_panoptic.py",
    "../_base_/datasets/demo_panoptic.py",
    "../_base_/schedules/adamw_5e-4_800i.py",
]
model = dict(
    backbone=dict(preset="small"),
    head=dict(
        in_channels=24,
        num_things=_base_.num_things,
        num_stuff=_base_.num_stuff,
        with_coords=True,
        loss_instance=dict(sampling=dict(pixels_per_instance=128, max_instances=32)),
    ),
    test_cfg=dict(stuff_area=64),
)
max_iters = 300
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [_base_.param_scheduler[0], {**_base_.param_scheduler[1], "end": max_iters}]
default_hooks = dict(checkpoint=dict(interval=max_iters))
