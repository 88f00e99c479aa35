# Mask R-CNN with PANet's bottom-up path; its adaptive feature pooling is not in mmdet.
_base_ = "./base_mask-rcnn_coco.py"

model = dict(neck=dict(type="PAFPN"))
