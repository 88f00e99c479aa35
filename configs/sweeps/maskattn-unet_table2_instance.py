# AP@k is read as the released code computes it: COCO AP with at most k detections an image. The
# paper says k is a threshold of the IoU, at which AP@100 would be near 0 for any method.
title = "MaskAttn-UNet, Table 2: instance segmentation of three data sets, AP@k"
base = "maskattn_unet/maskattn-unet_paper-ap-at-k_2xb7-1000e_coco-instance-128x128"
axes = {
    "data": {
        "COCO": dict(options={}),
        "ADE20K": "maskattn_unet/maskattn-unet_paper-ap-at-k_2xb7-1000e_ade20k-instance-128x128",
        "Cityscapes": (
            "maskattn_unet/maskattn-unet_paper-ap-at-k_2xb7-1000e_cityscapes-instance-128x128"
        ),
    }
}
seeds = [0, 1, 2]
columns = ["AP@30/AP", "AP@50/AP", "AP@70/AP", "AP@100/AP"]
paper = dict(
    source="MaskAttn-UNet, Table 2",
    unit="%",
    figures={
        "COCO": (35.0, 31.6, 31.3, 30.2),
        "ADE20K": (33.8, 33.2, 30.5, 30.5),
        "Cityscapes": (38.9, 36.6, 36.2, 35.5),
    },
)
small = dict(
    base="maskattn_unet/maskattn-unet_small-ap-at-k_1xb8-400i_dsb2018-instance-128x128",
    axes={
        "data": {
            "nuclei": dict(options={}),
            "coco_mini": (
                "maskattn_unet/maskattn-unet_small-ap-at-k_1xb8-400i_coco-mini-instance-128x128"
            ),
        }
    },
    options={"val_dataloader.dataset.fraction": 0.2},
    seeds=[0, 1],
    max_iters=40,
)
