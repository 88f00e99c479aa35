# Figure 3: 100 % of the training images.
_base_ = "./maskattn-unet_paper_2xb7-1000e_coco-panoptic-128x128.py"
train_dataloader = dict(dataset=dict(fraction=1.0))
