# Table 3.
_base_ = [
    "./base_solov2.py",
    "../_base_/datasets/sizes/cityscapes_street_instance_680x1200.py",
    "../_base_/schedules/sgd_1e-2_40e.py",
]
model = dict(mask_head=dict(num_classes=_base_.num_classes))
