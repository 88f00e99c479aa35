# Mask R-CNN as mmdet tests it: 1000 proposals, 100 boxes from a score of 0.05 on.
_base_ = "./base_mask-rcnn.py"

num_proposals = 1000
model = dict(
    train_cfg=dict(rpn_proposal=dict(max_per_img=num_proposals)),
    test_cfg=dict(
        rpn=dict(nms_pre=num_proposals, max_per_img=num_proposals),
        rcnn=dict(score_thr=0.05, max_per_img=100),
    ),
)
