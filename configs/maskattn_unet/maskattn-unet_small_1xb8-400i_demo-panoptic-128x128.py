_base_ = [
    "./base_panoptic.py",
    "../_base_/datasets/demo_panoptic.py",
    "../_base_/schedules/adamw_2e-3_400i.py",
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
