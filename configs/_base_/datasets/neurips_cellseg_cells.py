# NeurIPS 2022 Cell Segmentation, converted by tools/dataset_converters/neurips_cellseg.py: 1 class.
# File names in the json are relative to data_root.
_base_ = "./tasks/cells.py"

data_root = "data/neurips_cellseg/"
num_classes = 1
val_file = data_root + "annotations/instances_val.json"
common = dict(data_root=data_root, data_prefix=dict(img=""), outside_files=True)
train_dataloader = dict(dataset=dict(ann_file="annotations/instances_train.json", **common))
val_dataloader = dict(dataset=dict(ann_file="annotations/instances_val.json", **common))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type="attnseg.CocoInstanceMetric", ann_file=val_file, max_dets=(1, 100, 2000)),
    dict(type="attnseg.CellMetric", ann_file=val_file),
]
test_evaluator = val_evaluator
