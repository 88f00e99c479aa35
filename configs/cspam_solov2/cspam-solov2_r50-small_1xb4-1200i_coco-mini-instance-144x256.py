# A short run on a CPU, from scratch: not a setting of the paper's.
_base_ = [
    "./base.py",
    "../_base_/datasets/sizes/coco_mini_instance_144x256.py",
    "../_base_/schedules/iaunet_adamw_1e-3_1200i.py",
]
model = dict(mask_head=_base_.small)
