_base_ = [
    "./base_mask2former_swin-s.py",
    "../_base_/datasets/neurips_cellseg_cells.py",
    "../_base_/schedules/iaunet_adamw_1e-4.py",
]
model = dict(
    panoptic_head=dict(
        num_things_classes=_base_.num_classes,
        loss_cls=dict(class_weight=[1.0] * _base_.num_classes + [0.1]),
    ),
    panoptic_fusion_head=dict(num_things_classes=_base_.num_classes),
)
