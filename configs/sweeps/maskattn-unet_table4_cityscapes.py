_base_ = "./_base_/maskattn-unet_methods.py"

title = "MaskAttn-UNet, Table 4: methods on Cityscapes, panoptic at 128x128"
base = "maskattn_unet/maskattn-unet_paper_2xb7-1000e_cityscapes-panoptic-128x128"
axes = {"model": {name: leaf.format(data="cityscapes") for name, leaf in _base_._models.items()}}
paper = dict(
    source="MaskAttn-UNet, Table 4, Cityscapes",
    unit="%",
    figures={  # mIoU, PQ, AP
        "U-Net": (63.4, 51.2, 27.9),
        "DETR-R50": (66.6, 53.7, 30.6),
        "DETR-R101": (67.4, 54.2, 32.2),
        "Mask2Former-R50": (69.3, 55.7, 34.3),
        "Mask2Former-R101": (71.4, 57.2, 35.4),
        "MaskAttn-UNet": (70.1, 58.3, 35.5),
    },
    unavailable=_base_._unavailable,
)
