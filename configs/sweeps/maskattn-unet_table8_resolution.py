# Sizes are height x width. Leaves maskattn-unet_paper_..._coco-semantic-{64x64,64x48,32x32} have
# them too; as an axis they hold for each model.
_base_ = "./_base_/maskattn-unet_methods.py"

title = "MaskAttn-UNet, Table 8: semantic segmentation of COCO at 64x64 and below"
base = "maskattn_unet/maskattn-unet_paper_2xb4-1000e_coco-semantic-128x128"
axes = {
    "model": _base_._semantic,
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
        dict(
            **(
                {"where": {"model": model, "size": size}}
                if model in axes["model"]
                else {"label": f"{model}, {size}"}
            ),
            values={"semantic/mIoU": value},
        )
        for model, row in figures.items()
        for size, value in zip(axes["size"], row, strict=True)
    ],
)
small = dict(
    base="maskattn_unet/maskattn-unet_small_1xb8-400i_camvid11-semantic-128x128",
    axes={"model": {"MaskAttn-UNet": dict(options={})}, "size": axes["size"]},
    options={"val_dataloader.dataset.fraction": 0.2},
)
del figures
