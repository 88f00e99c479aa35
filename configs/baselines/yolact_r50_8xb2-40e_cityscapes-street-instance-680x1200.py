# CSPAM-SOLOv2's Table 3.
_base_ = [
    "./base_yolact.py",
    "../_base_/datasets/sizes/cityscapes_street_instance_680x1200.py",
    "../_base_/schedules/sgd_1e-2_40e.py",
]
model = dict(
    bbox_head=dict(num_classes=_base_.num_classes),
    mask_head=dict(num_classes=_base_.num_classes),
)
