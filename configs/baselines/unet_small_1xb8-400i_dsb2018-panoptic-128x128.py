# Ours without attention: the U-Net of MaskAttn-UNet's Table 5.
_base_ = "../maskattn_unet/maskattn-unet_small_1xb8-400i_dsb2018-panoptic-128x128.py"
model = dict(backbone=dict(attention="none"))
