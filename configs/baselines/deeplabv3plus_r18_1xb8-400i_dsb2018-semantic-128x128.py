# Nuclei against background: cross-entropy and Dice of two classes.
_base_ = [
    "./base_deeplabv3plus_r18.py",
    "../_base_/datasets/dsb2018_semantic.py",
    "../_base_/schedules/adamw_2e-3_400i.py",
]
model = dict(
    decode_head=dict(
        num_classes=_base_.num_classes,
        loss_decode=[
            dict(type="CrossEntropyLoss", avg_non_ignore=True),
            dict(type="DiceLoss", use_sigmoid=False),
        ],
    ),
    auxiliary_head=dict(num_classes=_base_.num_classes),
)
