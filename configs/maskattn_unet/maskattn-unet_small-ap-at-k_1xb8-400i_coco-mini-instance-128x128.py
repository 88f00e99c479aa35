# Table 2.
_base_ = ["./maskattn-unet_small_1xb8-400i_coco-mini-instance-128x128.py", "./base_ap_at_k.py"]
val_evaluator = _base_.ap_at_k
test_evaluator = val_evaluator
