_base_ = [
    "./base_maskformer_small.py",
    "../_base_/datasets/coco_mini_instance.py",
    "../_base_/schedules/adamw_2e-3_400i.py",
]
model = dict(
    panoptic_head=dict(
        num_things_classes=_base_.num_classes,
        loss_cls=dict(class_weight=[1.0] * _base_.num_classes + [0.1]),
    ),
    panoptic_fusion_head=dict(num_things_classes=_base_.num_classes),
)
