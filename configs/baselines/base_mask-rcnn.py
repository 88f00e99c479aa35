# Mask R-CNN of mmdet for dense cells, from scratch, encoder and input as IAUNet has them.
_base_ = ["mmdet::_base_/models/mask-rcnn_r50_fpn.py", "../_base_/runtime/detection.py"]

score_thr = 0.01  # IAUNet's
max_per_img = 2000  # what the evaluators count at most
num_proposals = 2000

model = dict(
    # Local weights: init_cfg=dict(type="attnseg.AdaptedPretrained", checkpoint="resnet50.pth")
    backbone=dict(
        _delete_=True,
        type="ResNet",
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=False,
        style="pytorch",
    ),
    train_cfg=dict(rpn_proposal=dict(max_per_img=num_proposals)),
    test_cfg=dict(
        rpn=dict(nms_pre=num_proposals, max_per_img=num_proposals),
        rcnn=dict(score_thr=score_thr, max_per_img=max_per_img),
    ),
)
