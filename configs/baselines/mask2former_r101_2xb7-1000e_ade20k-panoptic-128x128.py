# MaskAttn-UNet's Table 4.
_base_ = "./mask2former_r50_2xb7-1000e_ade20k-panoptic-128x128.py"
model = dict(backbone=dict(depth=101))
