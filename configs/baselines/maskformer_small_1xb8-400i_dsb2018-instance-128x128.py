_base_ = [
    "./base_maskformer_small.py",
    "../_base_/datasets/dsb2018_instance.py",
    "../_base_/schedules/adamw_2e-3_400i.py",
]
num_queries = 400
model = dict(
    panoptic_head=dict(
        num_things_classes=_base_.num_classes,
        num_queries=num_queries,
        loss_cls=dict(class_weight=[1.0] * _base_.num_classes + [0.1]),
    ),
    panoptic_fusion_head=dict(num_things_classes=_base_.num_classes),
    test_cfg=dict(max_per_image=num_queries),
)
