# Table 1, row 4: the adaptive minimum loss alone.
_base_ = "./cspam-solov2_r50_8xb2-40e_coco-instance-680x1200.py"
model = dict(
    backbone=dict(type="ResNet"),
    neck=dict(_delete_=True, **_base_.fpn),
    mask_head=dict(mask_feature_head=dict(_delete_=True, **_base_.mask_features)),
)
