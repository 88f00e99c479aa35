_base_ = "./_base_/iaunet_cells.py"

title = "IAUNet, Table 2: Revvity-25"
base = "iaunet/iaunet_r50_1xb8-16000i_revvity-instance-512x512"
axes = {"model": {name: leaf.format(data="revvity") for name, leaf in _base_._models.items()}}
columns = [*_base_.columns, "coco/AP75", "coco/APs", "coco/APm", "coco/APl"]
paper = dict(
    source="IAUNet, Table 2",
    unit="%",
    figures={  # in the order of the columns
        "Mask R-CNN R50": (40.8, 79.8, 38.4, 0.1, 20.7, 45.4),
        "PointRend R50": (45.1, 83.2, 47.0, 0.1, 25.1, 50.0),
        "Mask2Former R50": (40.2, 73.0, 41.7, 0.8, 16.6, 46.2),
        "IAUNet R50": (51.4, 84.6, 55.9, 0.5, 27.7, 58.0),
        "Mask R-CNN R101": (39.0, 79.1, 35.5, 0.4, 18.7, 43.4),
        "PointRend R101": (44.4, 82.4, 44.5, 0.0, 20.7, 49.6),
        "Mask2Former R101": (44.4, 78.4, 46.7, 0.9, 20.7, 50.6),
        "IAUNet R101": (51.0, 83.0, 55.7, 1.5, 28.0, 57.8),
        "Mask R-CNN Swin-S": (24.1, 59.2, 14.4, 0.0, 6.6, 28.1),
        "PointRend Swin-S": (48.0, 85.8, 51.1, 0.4, 25.3, 53.3),
        "Mask2Former Swin-S": (37.6, 65.6, 40.1, 0.1, 16.3, 43.7),
        "IAUNet Swin-S": (53.3, 86.2, 58.3, 1.8, 29.9, 59.8),
        "Mask R-CNN Swin-B": (18.8, 50.6, 8.4, 0.0, 3.7, 22.5),
        "PointRend Swin-B": (45.9, 83.2, 46.2, 0.1, 24.4, 51.0),
        "Mask2Former Swin-B": (52.0, 84.1, 57.4, 1.0, 28.1, 58.7),
        "IAUNet Swin-B": (52.8, 85.0, 58.7, 1.2, 29.7, 59.2),
    },
)
