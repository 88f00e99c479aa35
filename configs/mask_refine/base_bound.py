# With the published boundary loss: the squared difference of Sobel magnitudes.
_base_ = "./base.py"

model = dict(
    losses=[
        dict(type="attnseg.MaskBCELoss", loss_weight=0.4),
        dict(type="attnseg.RegionDiceLoss", loss_weight=0.4),
        dict(type="attnseg.SobelBoundaryLoss", loss_weight=0.2),
    ]
)
