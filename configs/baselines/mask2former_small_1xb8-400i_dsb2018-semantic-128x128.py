_base_ = [
    "./base_mask2former_small-semantic.py",
    "../_base_/datasets/dsb2018_semantic.py",
    "../_base_/schedules/adamw_2e-3_400i.py",
]
model = dict(
    decode_head=dict(
        num_classes=_base_.num_classes,
        loss_cls=dict(class_weight=[1.0] * _base_.num_classes + [0.1]),
    )
)
