# Table 1, row 6: without the CSPAM backbone.
_base_ = "./cspam-solov2_r50_8xb2-40e_coco-instance-680x1200.py"
model = dict(backbone=dict(type="ResNet"))
