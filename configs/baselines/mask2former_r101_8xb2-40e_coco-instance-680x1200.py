# CSPAM-SOLOv2's Table 2.
_base_ = [
    "./base_mask2former.py",
    "../_base_/datasets/sizes/coco_instance_680x1200.py",
    "../_base_/schedules/sgd_1e-2_40e.py",
]
model = dict(
    backbone=dict(depth=101),
    data_preprocessor=dict(pad_size_divisor=32),
    panoptic_head=dict(
        num_things_classes=_base_.num_classes,
        loss_cls=dict(class_weight=[1.0] * _base_.num_classes + [0.1]),
    ),
    panoptic_fusion_head=dict(num_things_classes=_base_.num_classes),
)
