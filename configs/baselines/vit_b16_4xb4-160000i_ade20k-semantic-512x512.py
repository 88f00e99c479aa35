_base_ = [
    "./base_vit_b16.py",
    "../_base_/datasets/sizes/ade20k_semantic_512x512.py",
    "../_base_/schedules/adamw_6e-5_160000i.py",
]
model = dict(
    decode_head=dict(num_classes=_base_.num_classes),
    auxiliary_head=dict(num_classes=_base_.num_classes),
)
