# Cityscapes, converted by tools/dataset_converters/cityscapes.py: 8 things, 11 stuff.
_base_ = "./tasks/panoptic.py"

data_root = "data/cityscapes/"
num_things = 8
num_stuff = 11
num_classes = num_things + num_stuff
train_dataloader = dict(
    sampler=dict(type="DefaultSampler"),
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/panoptic_train.json",
        data_prefix=dict(img="leftImg8bit/train/", seg="annotations/panoptic_train/"),
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/panoptic_val.json",
        data_prefix=dict(img="leftImg8bit/val/", seg="annotations/panoptic_val/"),
    )
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(
        type="attnseg.PanopticMetric",
        ann_file=data_root + "annotations/panoptic_val.json",
        seg_prefix=data_root + "annotations/panoptic_val/",
    ),
    dict(type="attnseg.CocoInstanceMetric", ann_file=data_root + "annotations/instances_val.json"),
    dict(type="attnseg.SemanticMetric"),
]
test_evaluator = val_evaluator
