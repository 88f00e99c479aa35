# Leaves maskattn-unet_{encoder-only,decoder-only}_...; the full model, of Table 5, stands beside.
_base_ = "./_base_/maskattn-unet_panoptic.py"

title = "MaskAttn-UNet, Table 6: attention in the encoder or in the decoder alone, COCO panoptic"
axes = {
    "variant": {
        "Encoder-Only": dict(options={"model.backbone.attention": "encoder"}),
        "Decoder-Only": dict(options={"model.backbone.attention": "decoder"}),
        "both": dict(options={}),
    }
}
paper = dict(
    source="MaskAttn-UNet, Table 6 (both: Table 5)",
    unit="%",
    figures={
        "Encoder-Only": (38.1, 24.3, 18.8),
        "Decoder-Only": (36.7, 23.6, 17.0),
        "both": (45.3, 35.7, 31.5),
    },
)
