# Nuclei of the Data Science Bowl 2018: 1 thing, 1 stuff.
_base_ = "./tasks/panoptic.py"

data_root = "data/dsb2018/"
num_things = 1
num_stuff = 1
num_classes = num_things + num_stuff
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/panoptic_train.json",
        data_prefix=dict(img="images/train/", seg="panoptic/train/"),
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/panoptic_val.json",
        data_prefix=dict(img="images/val/", seg="panoptic/val/"),
    )
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(
        type="attnseg.PanopticMetric",
        ann_file=data_root + "annotations/panoptic_val.json",
        seg_prefix=data_root + "panoptic/val/",
    ),
    dict(
        type="attnseg.CocoInstanceMetric",
        ann_file=data_root + "annotations/instances_val.json",
        max_dets=(1, 100, 1000),
    ),
    dict(type="attnseg.SemanticMetric"),
]
test_evaluator = val_evaluator
