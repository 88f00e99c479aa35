# EVICAN2, converted by tools/dataset_converters/evican.py, its 2 classes. Tests are on the
# evaluation set of one difficulty; docs/cells.md says how to choose one on the command line.
# File names in the json are relative to data_root.
_base_ = "./tasks/cells.py"

difficulty = "easy"  # or "medium", "difficult"
data_root = "data/evican/"
classes = ("cell", "nucleus")  # ("cell",) leaves the nuclei out
num_classes = len(classes)
val_file = "annotations/instances_val.json"
eval_file = f"annotations/instances_eval_{difficulty}.json"
common = dict(
    data_root=data_root,
    data_prefix=dict(img=""),
    outside_files=True,
    metainfo=dict(classes=classes),
)
train_dataloader = dict(dataset=dict(ann_file="annotations/instances_train.json", **common))
val_dataloader = dict(dataset=dict(ann_file=val_file, **common))
test_dataloader = dict(dataset=dict(ann_file=eval_file, **common))
val_evaluator = [
    dict(type="attnseg.CocoInstanceMetric", ann_file=data_root + val_file, classwise=True),
    dict(type="attnseg.CellMetric", ann_file=data_root + val_file, classwise=True),
]
test_evaluator = [
    dict(type="attnseg.CocoInstanceMetric", ann_file=data_root + eval_file, classwise=True),
    dict(type="attnseg.CellMetric", ann_file=data_root + eval_file, classwise=True),
]
