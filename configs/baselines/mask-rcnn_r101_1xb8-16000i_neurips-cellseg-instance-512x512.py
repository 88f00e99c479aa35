_base_ = "./mask-rcnn_r50_1xb8-16000i_neurips-cellseg-instance-512x512.py"
model = dict(backbone=dict(depth=101))
