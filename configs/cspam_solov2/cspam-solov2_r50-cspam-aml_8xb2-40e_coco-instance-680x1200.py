# Table 1, row 7: without TWFPN and CSMF.
_base_ = "./cspam-solov2_r50_8xb2-40e_coco-instance-680x1200.py"
model = dict(
    neck=dict(_delete_=True, **_base_.fpn),
    mask_head=dict(mask_feature_head=dict(_delete_=True, **_base_.mask_features)),
)
