# Sizes are height x width. Leaves maskattn-unet_paper_..._coco-semantic-{64x64,64x48,32x32} have
# them too; as an axis they hold for each model.
title = "MaskAttn-UNet, Table 8: semantic segmentation of COCO at 64x64 and below"
base = "maskattn_unet/maskattn-unet_paper_2xb4-1000e_coco-semantic-128x128"
axes = {
    "model": {
        "Mask2Former-R50": "baselines/mask2former_r50_2xb4-1000e_coco-semantic-128x128",
        "Mask2Former-R101": dict(
            config="baselines/mask2former_r50_2xb4-1000e_coco-semantic-128x128",
            options={"model.backbone.depth": 101},
        ),
        "MaskAttn-UNet": dict(options={}),
    },
    "size": {
        f"{height}x{width}": dict(
            options={
                "train_dataloader.dataset.pipeline.3.size": (height, width),
                "val_dataloader.dataset.pipeline.1.scale": (width, height),
                "test_dataloader.dataset.pipeline.1.scale": (width, height),
            }
        )
        for height, width in ((64, 64), (64, 48), (32, 32))
    },
}
seeds = [0, 1, 2]
columns = ["semantic/mIoU"]
figures = {
    "Mask2Former-R50": (31.4, 8.7, 1.3),
    "Mask2Former-R101": (33.5, 11.2, 1.9),
    "MaskAttn-UNet": (41.3, 17.1, 2.2),
}
paper = dict(
    source="MaskAttn-UNet, Table 8",
    unit="%",
    rows=[
        dict(where={"model": model, "size": size}, values={"semantic/mIoU": value})
        for model, row in figures.items()
        for size, value in zip(axes["size"], row, strict=True)
    ],
)
small = dict(
    base="maskattn_unet/maskattn-unet_small_1xb8-400i_camvid11-semantic-128x128",
    axes={
        "model": {
            "Mask2Former, small": "baselines/mask2former_small_1xb8-400i_camvid11-semantic-128x128",
            "MaskAttn-UNet": dict(options={}),
        },
        "size": axes["size"],
    },
    options={"val_dataloader.dataset.fraction": 0.2},
    seeds=[0, 1],
    max_iters=40,
)
del figures
