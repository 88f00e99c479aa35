# Table 2.
_base_ = "./cspam-solov2_r50_8xb2-40e_coco-instance-680x1200.py"
model = dict(backbone=dict(depth=101))
