# Table 7, first row: the same network without the mask.
_base_ = "./maskattn-unet_paper_2xb7-1000e_coco-panoptic-128x128.py"
model = dict(backbone=dict(mask_mode="none"))
