# A short run on a CPU, from scratch: not a setting of the paper's. Anchors of a quarter.
_base_ = [
    "./base_yolact.py",
    "../_base_/datasets/sizes/coco_mini_instance_144x256.py",
    "../_base_/schedules/iaunet_adamw_1e-3_1200i.py",
]
model = dict(
    bbox_head=dict(feat_channels=128, anchor_generator=dict(base_sizes=[4, 8, 16, 32, 64])),
)
