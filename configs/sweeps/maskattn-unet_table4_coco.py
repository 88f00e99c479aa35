_base_ = "./_base_/maskattn-unet_methods.py"

title = "MaskAttn-UNet, Table 4: methods on COCO, panoptic at 128x128"
base = "maskattn_unet/maskattn-unet_paper_2xb7-1000e_coco-panoptic-128x128"
axes = {"model": {name: leaf.format(data="coco") for name, leaf in _base_._models.items()}}
paper = dict(
    source="MaskAttn-UNet, Table 4, COCO",
    unit="%",
    figures={  # mIoU, PQ, AP
        "U-Net": (33.8, 20.1, 13.8),
        "DETR-R50": (34.7, 25.3, 16.7),
        "DETR-R101": (35.3, 27.4, 18.8),
        "Mask2Former-R50": (38.1, 31.4, 27.3),
        "Mask2Former-R101": (39.2, 31.7, 28.1),
        "MaskAttn-UNet": (45.3, 35.7, 31.5),
    },
    unavailable=_base_._unavailable,
)
