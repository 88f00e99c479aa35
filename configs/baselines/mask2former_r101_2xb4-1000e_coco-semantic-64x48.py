# MaskAttn-UNet's Table 8 at 64x48 (height x width).
_base_ = "./mask2former_r50_2xb4-1000e_coco-semantic-64x48.py"
model = dict(backbone=dict(depth=101))
