# Nuclei of the Data Science Bowl 2018: 1 class.
_base_ = "./tasks/instance.py"

data_root = "data/dsb2018/"
num_classes = 1
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
val_evaluator = dict(
    type="attnseg.CocoInstanceMetric",
    ann_file=data_root + "annotations/instances_val.json",
    max_dets=(1, 100, 1000),
)
test_evaluator = val_evaluator
