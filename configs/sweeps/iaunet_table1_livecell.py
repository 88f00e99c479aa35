_base_ = "./_base_/iaunet_cells.py"

title = "IAUNet, Table 1: LIVECell, images cut to at most 100 cells"
base = "iaunet/iaunet_r50_1xb8-16000i_livecell-instance-512x512"
axes = {"model": {name: leaf.format(data="livecell") for name, leaf in _base_._models.items()}}
figures = {  # AP, AP50
    "Mask R-CNN R50": (44.7, 74.2),
    "PointRend R50": (44.0, 73.5),
    "Mask2Former R50": (43.7, 73.8),
    "IAUNet R50": (44.7, 73.9),
    "Mask R-CNN R101": (44.2, 73.2),
    "PointRend R101": (44.0, 73.7),
    "Mask2Former R101": (44.0, 73.5),
    "IAUNet R101": (44.7, 74.1),
    "Mask R-CNN Swin-S": (44.3, 73.3),
    "PointRend Swin-S": (43.9, 73.5),
    "Mask2Former Swin-S": (44.6, 74.3),
    "IAUNet Swin-S": (43.9, 73.6),
    "Mask R-CNN Swin-B": (44.2, 73.1),
    "PointRend Swin-B": (44.0, 73.7),
    "Mask2Former Swin-B": (44.9, 74.7),
    "IAUNet Swin-B": (44.0, 73.4),
}
others = {
    "YOLOv8-M": (37.5, 72.2),
    "YOLOv8-L": (40.5, 72.5),
    "YOLOv8-X": (41.1, 73.1),
    "YOLOv9-C": (41.2, 73.2),
    "YOLOv9-E": (41.4, 73.1),
    "CellPose": (34.5, 60.1),
    "CellPose + SM": (34.9, 60.4),
    "SAM-B (points)": (5.0, 12.4),
    "SAM-B (boxes)": (24.3, 56.9),
}
paper = dict(
    source="IAUNet, Table 1, LiveCell",
    unit="%",
    figures={**figures, **others},
    unavailable=dict.fromkeys(others, _base_._external),
)
small = _base_._usiigaci
del figures, others
