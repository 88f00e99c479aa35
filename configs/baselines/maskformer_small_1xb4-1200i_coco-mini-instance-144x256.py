# Beside the short runs of CSPAM-SOLOv2, its Table 2.
_base_ = [
    "./base_maskformer_small.py",
    "../_base_/datasets/sizes/coco_mini_instance_144x256.py",
    "../_base_/schedules/iaunet_adamw_1e-3_1200i.py",
]
model = dict(
    panoptic_head=dict(
        num_things_classes=_base_.num_classes,
        loss_cls=dict(class_weight=[1.0] * _base_.num_classes + [0.1]),
    ),
    panoptic_fusion_head=dict(num_things_classes=_base_.num_classes),
)
