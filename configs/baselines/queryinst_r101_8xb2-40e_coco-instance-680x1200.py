# CSPAM-SOLOv2's Table 2.
_base_ = [
    "./base_queryinst.py",
    "../_base_/datasets/sizes/coco_instance_680x1200.py",
    "../_base_/schedules/sgd_1e-2_40e.py",
]
model = dict(backbone=dict(depth=101))
