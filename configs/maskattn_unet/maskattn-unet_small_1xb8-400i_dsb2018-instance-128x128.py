_base_ = [
    "./base_instance.py",
    "../_base_/datasets/dsb2018_instance.py",
    "../_base_/schedules/adamw_2e-3_400i.py",
]
model = dict(
    backbone=dict(preset="small"),
    head=dict(
        in_channels=24,
        num_things=_base_.num_classes,
        with_coords=True,
        loss_instance=dict(sampling=dict(pixels_per_instance=32, max_instances=128)),
    ),
    test_cfg=dict(connected=True, similarity=0.85, max_per_img=1000),
)
