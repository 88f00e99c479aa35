# Generated demo set (tools/make_demo_set.py): 3 classes.
_base_ = "./tasks/instance.py"

data_root = "data/demo/"
num_classes = 3
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
    type="attnseg.CocoInstanceMetric", ann_file=data_root + "annotations/instances_val.json"
)
test_evaluator = val_evaluator
