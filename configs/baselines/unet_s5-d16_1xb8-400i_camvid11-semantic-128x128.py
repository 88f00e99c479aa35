_base_ = [
    "./base_unet.py",
    "../_base_/datasets/camvid11_semantic.py",
    "../_base_/schedules/adamw_2e-3_400i.py",
]
model = dict(
    decode_head=dict(num_classes=_base_.num_classes),
    auxiliary_head=dict(num_classes=_base_.num_classes),
)
