# MaskAttn-UNet's Table 4.
_base_ = [
    "./base_mask2former_panoptic.py",
    "../_base_/datasets/ade20k_panoptic.py",
    "../_base_/schedules/adamw_5e-4_1000e.py",
]
model = dict(
    panoptic_head=dict(
        num_things_classes=_base_.num_things,
        num_stuff_classes=_base_.num_stuff,
        loss_cls=dict(class_weight=[1.0] * _base_.num_classes + [0.1]),
    ),
    panoptic_fusion_head=dict(
        num_things_classes=_base_.num_things, num_stuff_classes=_base_.num_stuff
    ),
)
train_dataloader = dict(batch_size=7)
