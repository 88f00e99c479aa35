# The row "UNet" is the leaf unet_2xb7-1000e_coco-panoptic-128x128.
_base_ = "./_base_/maskattn-unet_panoptic.py"

title = "MaskAttn-UNet, Table 5: with and without mask attention, COCO panoptic"
axes = {
    "model": {
        "MaskAttn-UNet": dict(options={}),
        "UNet": dict(options={"model.backbone.attention": "none"}),
    }
}
paper = dict(
    source="MaskAttn-UNet, Table 5",
    unit="%",
    figures={"MaskAttn-UNet": (45.3, 35.7, 31.5), "UNet": (33.8, 20.1, 13.8)},
)
