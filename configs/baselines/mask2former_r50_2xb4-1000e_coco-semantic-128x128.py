# What the leaves of MaskAttn-UNet's Table 8 share.
_base_ = [
    "./base_mask2former_semantic.py",
    "../_base_/datasets/coco_semantic.py",
    "../_base_/schedules/adamw_5e-4_1000e.py",
]
model = dict(
    decode_head=dict(
        num_classes=_base_.num_classes,
        loss_cls=dict(class_weight=[1.0] * _base_.num_classes + [0.1]),
    )
)
train_dataloader = dict(batch_size=4)
