# NeuralSegmentello: a U-Net over [coarse mask, gray, gradient] at the image's own size.
# It stops when the validation loss has not fallen for 5 epochs. Published code draws new coarse
# masks for each validation, so that its loss is noisy; here they stay the same.
# For one GPU: of several, each would count the validation loss of its own share, and stop alone.
_base_ = "../_base_/runtime/detection.py"

seed = 42
widths = (16, 32)
patience = 5
# 0.5 is what the published code validates with: `--cfg-options model.threshold=0.5`.
threshold = 0.0

randomness = dict(seed=seed)
model = dict(
    type="attnseg.MaskRefinementModel",
    data_preprocessor=dict(
        type="attnseg.RefinementPreprocessor", channels=("coarse", "gray", "gradient")
    ),
    network=dict(type="attnseg.RefineUNet", in_channels=3, widths=widths),
    losses=[
        dict(type="attnseg.MaskBCELoss", loss_weight=0.5),
        dict(type="attnseg.RegionDiceLoss", loss_weight=0.5),
    ],
    threshold=threshold,
    # The loss that early stopping and the choice of the best checkpoint need.
    test_cfg=dict(loss=True),
)
custom_hooks = [
    # Without NumClassCheckHook: masks of any class are refined alike.
    *[hook for hook in _base_.custom_hooks if hook["type"] != "mmdet.NumClassCheckHook"],
    dict(
        type="EarlyStoppingHook", monitor="val_loss", rule="less", min_delta=0.0, patience=patience
    ),
]
