# Table 2: SOLOv2 of mmdet.
_base_ = "./solov2_r50_8xb2-40e_coco-instance-680x1200.py"
model = dict(backbone=dict(depth=101))
