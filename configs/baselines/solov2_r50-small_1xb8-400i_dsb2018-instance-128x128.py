# SOLOv2 of mmdet with the thin head of the short runs, from scratch.
_base_ = [
    "../cspam_solov2/base_solov2.py",
    "../_base_/datasets/dsb2018_instance.py",
    "../_base_/schedules/adamw_2e-3_400i.py",
]
model = dict(
    mask_head=dict(num_classes=_base_.num_classes, **_base_.small),
    test_cfg=dict(max_per_img=500),
)
