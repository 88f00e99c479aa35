# Figures of the text of "Few Shots Training"; the chart itself shows no numbers.
_base_ = "./_base_/maskattn-unet_panoptic.py"

title = "MaskAttn-UNet, Figure 3: shares of the training images, COCO panoptic"
axes = {"train_dataloader.dataset.fraction": [0.1, 0.25, 0.5, 0.75, 1.0]}
paper = dict(
    source="MaskAttn-UNet, Figure 3 (figures of the text)",
    unit="%",
    figures={
        0.1: (36.7, 25.3, 22.6),
        0.25: (37.3, 27.6, 25.1),
        0.5: (40.1, 33.3, 29.4),
        0.75: (43.4, 35.1, 30.1),
        1.0: (45.3, 35.7, 31.5),
    },
)
small = dict(axes={"train_dataloader.dataset.fraction": [0.1, 0.5, 1.0]})
