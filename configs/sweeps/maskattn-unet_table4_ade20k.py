_base_ = "./_base_/maskattn-unet_methods.py"

title = "MaskAttn-UNet, Table 4: methods on ADE20K, panoptic at 128x128"
base = "maskattn_unet/maskattn-unet_paper_2xb7-1000e_ade20k-panoptic-128x128"
axes = {"model": {name: leaf.format(data="ade20k") for name, leaf in _base_._models.items()}}
paper = dict(
    source="MaskAttn-UNet, Table 4, ADE20K",
    unit="%",
    figures={  # mIoU, PQ, AP
        "U-Net": (37.3, 24.1, 16.5),
        "DETR-R50": (40.7, 26.5, 21.0),
        "DETR-R101": (41.1, 27.4, 21.9),
        "Mask2Former-R50": (45.2, 33.4, 29.1),
        "Mask2Former-R101": (45.7, 33.9, 30.5),
        "MaskAttn-UNet": (45.9, 33.6, 30.7),
    },
    unavailable=_base_._unavailable,
)
