# Table 1, row 8: CSPAM, TWFPN + CSMF and the adaptive minimum loss.
_base_ = [
    "./base.py",
    "../_base_/datasets/sizes/coco_instance_680x1200.py",
    "../_base_/schedules/sgd_1e-2_40e.py",
]
