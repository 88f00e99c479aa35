# CSPAM-SOLOv2-R50: all three parts on. A leaf of the ablations puts SOLOv2's part back instead.
_base_ = "./base_solov2.py"

find_unused_parameters = False

# SOLOv2's loss: every object of a cell counts, the last one gives its class.
solov2_loss = dict(minimum=False, centroid=False, dice="squared")
model = dict(
    backbone=dict(type="attnseg.CSPAMResNet"),
    neck=dict(type="attnseg.TWFPN", with_top=True),
    mask_head=dict(
        _delete_=True,
        type="attnseg.AdaptiveSOLOv2Head",
        **_base_.grids,
        mask_feature_head=dict(type="attnseg.CSMF", **_base_.mask_features),
        loss=dict(type="attnseg.AdaptiveMinimumLoss"),
    ),
)
