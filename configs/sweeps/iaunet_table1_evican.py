# EVICAN2 has three evaluation sets. The sweep validates on the easy one; README.md has the command
# that tests its weights on the others. The paper has no Swin rows here.
_base_ = "./_base_/iaunet_cells.py"

title = "IAUNet, Table 1: EVICAN2, evaluation set easy"
base = "iaunet/iaunet_r50_1xb8-16000i_evican-instance-512x512"
easy = "annotations/instances_eval_easy.json"
options = {
    "val_dataloader.dataset.ann_file": easy,
    "val_evaluator.0.ann_file": "data/evican/" + easy,
    "val_evaluator.1.ann_file": "data/evican/" + easy,
}
axes = {
    "model": {
        name: leaf.format(data="evican")
        for name, leaf in _base_._models.items()
        if "Swin" not in name
    }
}
figures = {  # easy AP, AP50; medium AP, AP50; difficult AP, AP50
    "Mask R-CNN R50": (48.1, 75.9, 20.7, 42.5, 19.1, 39.8),
    "PointRend R50": (26.6, 47.9, 18.0, 38.5, 13.4, 28.3),
    "Mask2Former R50": (53.4, 89.1, 29.1, 54.9, 24.2, 50.4),
    "IAUNet R50": (53.3, 85.6, 29.2, 55.0, 25.3, 47.9),
    "Mask R-CNN R101": (41.5, 69.9, 23.3, 46.9, 17.8, 36.7),
    "PointRend R101": (41.3, 65.2, 20.2, 39.3, 14.8, 32.1),
    "Mask2Former R101": (54.4, 87.8, 27.1, 51.7, 20.4, 42.4),
    "IAUNet R101": (59.6, 88.7, 29.8, 52.9, 28.5, 52.6),
}
others = {
    "YOLOv8-M": (43.8, 82.3, 27.5, 57.1, 20.0, 46.2),
    "YOLOv8-L": (44.7, 83.1, 28.1, 58.2, 20.3, 46.1),
    "YOLOv8-X": (45.8, 85.6, 28.9, 59.2, 20.7, 47.3),
    "YOLOv9-C": (45.6, 84.4, 27.2, 57.9, 20.1, 47.3),
    "YOLOv9-E": (45.9, 85.6, 28.3, 59.8, 22.2, 49.9),
    "CellPose": (0.9, 2.8, 0.1, 0.3, 0.0, 0.0),
    "CellPose + SM": (8.7, 16.8, 1.6, 4.4, 2.3, 6.8),
    "SAM-B (points)": (28.4, 56.0, 5.4, 13.8, 3.2, 7.2),
    "SAM-B (boxes)": (55.0, 96.6, 38.6, 91.2, 34.8, 82.3),
}
sets = (", EVICAN2_M", ", EVICAN2_D")
paper = dict(
    source="IAUNet, Table 1, EVICAN2_E; EVICAN2_M and EVICAN2_D where named",
    unit="%",
    figures={name: row[:2] for name, row in (*figures.items(), *others.items())},
    rows=[
        *(
            dict(
                where={},
                label=f"{name}{part}",
                values=dict(zip(_base_.columns, row[first : first + 2], strict=True)),
            )
            for part, first in zip(sets, (2, 4), strict=True)
            for name, row in (*figures.items(), *others.items())
        ),
    ],
    unavailable={
        **{f"{name}{part}": _base_._external for name in others for part in ("", *sets)},
        **{f"{name}{part}": "test the weights on this set" for name in figures for part in sets},
    },
)
small = _base_._usiigaci
del figures, others, sets, easy
