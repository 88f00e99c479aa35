_base_ = "./_base_/iaunet_cells.py"

title = "IAUNet, Table 1: NeurIPS 2022 CellSeg, images cut to at most 100 cells"
base = "iaunet/iaunet_r50_1xb8-16000i_neurips-cellseg-instance-512x512"
axes = {
    "model": {name: leaf.format(data="neurips-cellseg") for name, leaf in _base_._models.items()}
}
figures = {  # AP, AP50
    "Mask R-CNN R50": (52.8, 74.7),
    "PointRend R50": (54.7, 74.8),
    "Mask2Former R50": (42.9, 66.6),
    "IAUNet R50": (49.0, 75.1),
    "Mask R-CNN R101": (53.3, 73.2),
    "PointRend R101": (52.0, 76.0),
    "Mask2Former R101": (44.2, 68.3),
    "IAUNet R101": (49.3, 74.6),
    "Mask R-CNN Swin-S": (55.4, 76.2),
    "PointRend Swin-S": (54.6, 76.5),
    "Mask2Former Swin-S": (43.9, 67.9),
    "IAUNet Swin-S": (52.4, 72.8),
    "Mask R-CNN Swin-B": (56.0, 76.6),
    "PointRend Swin-B": (55.0, 77.1),
    "Mask2Former Swin-B": (46.3, 70.9),
    "IAUNet Swin-B": (55.8, 80.3),
}
others = {
    "YOLOv8-M": (44.9, 81.1),
    "YOLOv8-L": (45.4, 81.5),
    "YOLOv8-X": (47.7, 81.4),
    "YOLOv9-C": (46.9, 81.6),
    "YOLOv9-E": (47.6, 82.8),
    "CellPose": (32.9, 51.5),
    "CellPose + SM": (44.1, 74.8),
    "SAM-B (points)": (30.7, 56.6),
    "SAM-B (boxes)": (54.3, 91.7),
}
paper = dict(
    source="IAUNet, Table 1, NeurIPS22",
    unit="%",
    figures={**figures, **others},
    unavailable=dict.fromkeys(others, _base_._external),
)
del figures, others
