_base_ = [
    "./base_instance.py",
    "../_base_/datasets/coco_mini_instance.py",
    "../_base_/schedules/adamw_2e-3_400i.py",
]
model = dict(
    backbone=dict(preset="small"),
    head=dict(in_channels=24, num_things=_base_.num_classes, with_coords=True),
)
