_base_ = "./_base_/maskattn-unet_panoptic.py"

title = "MaskAttn-UNet, Table 3: panoptic segmentation of three data sets at 128x128"
axes = {
    "data": {
        "COCO": dict(options={}),
        "ADE20K": "maskattn_unet/maskattn-unet_paper_2xb7-1000e_ade20k-panoptic-128x128",
        "Cityscapes": "maskattn_unet/maskattn-unet_paper_2xb7-1000e_cityscapes-panoptic-128x128",
    }
}
paper = dict(
    source="MaskAttn-UNet, Table 3",
    unit="%",
    figures={  # mIoU, PQ, AP; the paper's order is mIoU, AP, PQ
        "COCO": (45.3, 35.7, 31.5),
        "ADE20K": (45.9, 33.6, 30.7),
        "Cityscapes": (70.1, 58.3, 35.5),
    },
)
small = dict(axes={"data": {"nuclei": dict(options={})}})
