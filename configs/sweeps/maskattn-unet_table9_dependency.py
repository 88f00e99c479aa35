# Modules of the published topology, in its numbering: att1 to att3 in the encoder, att4 to att6 in
# the decoder. Shares of no unit: a table that shows percent has 62.8 for an exponent of 0.628.
title = "MaskAttn-UNet, Table 9: Hurst and DFA exponents of attention maps, COCO panoptic"
base = "maskattn_unet/maskattn-unet_code_2xb7-1000e_coco-panoptic-128x128"
axes = {"model": {"MaskAttn-UNet": dict(options={})}}
options = {
    "default_hooks.dependency": dict(
        type="attnseg.DependencyHook",
        modules=dict(
            att1="backbone.encoder.1.attn",
            att3="backbone.encoder.3.attn",
            att4="backbone.decoder.0.attn",
            att6="backbone.decoder.2.attn",
        ),
        max_images=200,
    )
}
seeds = [0, 1, 2]
columns = [
    *("dependency/hurst_att1", "dependency/dfa_att1", "dependency/hurst_att3"),
    *("dependency/dfa_att3", "dependency/hurst_att4", "dependency/dfa_att4"),
    *("dependency/hurst_att6", "dependency/dfa_att6"),
]
paper = dict(
    source="MaskAttn-UNet, Table 9",
    unit="",
    figures={"MaskAttn-UNet": (0.628, 0.459, 0.594, 0.538, 0.597, 0.501, 0.694, 0.657)},
)
small = dict(
    base="maskattn_unet/maskattn-unet_small_1xb8-400i_dsb2018-panoptic-128x128",
    options={
        "train_dataloader.batch_size": 4,
        "val_dataloader.dataset.fraction": 0.15,
        "default_hooks.dependency": dict(options["default_hooks.dependency"], max_images=8),
    },
    seeds=[0, 1],
    max_iters=30,
)
