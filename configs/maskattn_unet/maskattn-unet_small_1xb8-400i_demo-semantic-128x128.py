_base_ = [
    "./base_semantic.py",
    "../_base_/datasets/demo_semantic.py",
    "../_base_/schedules/adamw_2e-3_400i.py",
]
model = dict(
    backbone=dict(preset="small"),
    decode_head=dict(in_channels=24, channels=24, num_classes=_base_.num_classes),
)
