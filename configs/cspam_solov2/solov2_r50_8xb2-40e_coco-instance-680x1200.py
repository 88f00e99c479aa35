# Table 1, row 1: SOLOv2 of mmdet.
_base_ = [
    "./base_solov2.py",
    "../_base_/datasets/sizes/coco_instance_680x1200.py",
    "../_base_/schedules/sgd_1e-2_40e.py",
]
