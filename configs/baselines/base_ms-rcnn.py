# Mask Scoring R-CNN: a head that predicts the IoU of each mask, as mmdet has it.
_base_ = "./base_mask-rcnn_coco.py"

model = dict(
    type="MaskScoringRCNN",
    roi_head=dict(
        type="MaskScoringRoIHead",
        mask_iou_head=dict(
            type="MaskIoUHead",
            num_convs=4,
            num_fcs=2,
            roi_feat_size=14,
            in_channels=256,
            conv_out_channels=256,
            fc_out_channels=1024,
        ),
    ),
    train_cfg=dict(rcnn=dict(mask_thr_binary=0.5)),
)
