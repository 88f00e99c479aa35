# Table 2.
_base_ = ["./maskattn-unet_paper_2xb7-1000e_coco-instance-128x128.py", "./base_ap_at_k.py"]
val_evaluator = _base_.ap_at_k
test_evaluator = val_evaluator
