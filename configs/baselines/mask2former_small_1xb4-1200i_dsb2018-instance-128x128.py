_base_ = [
    "./base_mask2former_small.py",
    "../_base_/datasets/dsb2018_cells_windows.py",
    "../_base_/schedules/iaunet_adamw_1e-3_1200i.py",
]
model = dict(
    detector=dict(
        panoptic_head=dict(
            num_things_classes=_base_.num_classes,
            loss_cls=dict(class_weight=[1.0] * _base_.num_classes + [0.1]),
        ),
        panoptic_fusion_head=dict(num_things_classes=_base_.num_classes),
    ),
    windows=dict(size=_base_.window),
)
