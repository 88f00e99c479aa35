# Table 6, first row.
_base_ = "./maskattn-unet_paper_2xb7-1000e_coco-panoptic-128x128.py"
model = dict(backbone=dict(attention="encoder"))
