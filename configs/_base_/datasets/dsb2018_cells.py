# Nuclei of the Data Science Bowl 2018, over 300 in some images: 1 class.
_base_ = "./tasks/cells.py"

data_root = "data/dsb2018/"
num_classes = 1
val_file = data_root + "annotations/instances_val.json"
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/instances_train.json",
        data_prefix=dict(img="images/train/"),
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/instances_val.json",
        data_prefix=dict(img="images/val/"),
    )
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type="attnseg.CocoInstanceMetric", ann_file=val_file, max_dets=(1, 100, 1000)),
    dict(type="attnseg.CellMetric", ann_file=val_file),
]
test_evaluator = val_evaluator
