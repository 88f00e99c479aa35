# MaskAttn-UNet's Table 4: its network without attention. That of COCO is in its own folder.
_base_ = "../maskattn_unet/maskattn-unet_paper_2xb7-1000e_cityscapes-panoptic-128x128.py"
model = dict(backbone=dict(attention="none"))
