# The paper's peer is the U-Transformer of Petit et al. (self- and cross-attention); ours is our
# network without the mask, which is what its text compares: leaf selfattn-unet_2xb7-1000e_...
_base_ = "./_base_/maskattn-unet_panoptic.py"

title = "MaskAttn-UNet, Table 7: attention with and without the mask, COCO panoptic"
axes = {
    "model": {
        "Self-Attention UNet": dict(options={"model.backbone.mask_mode": "none"}),
        "MaskAttn-UNet": dict(options={}),
    }
}
paper = dict(
    source="MaskAttn-UNet, Table 7",
    unit="%",
    figures={"Self-Attention UNet": (41.2, 30.9, 26.7), "MaskAttn-UNet": (45.3, 35.7, 31.5)},
)
