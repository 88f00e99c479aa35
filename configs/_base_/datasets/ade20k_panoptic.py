# ADE20K, converted by tools/dataset_converters/ade20k.py: 100 things, 50 stuff.
_base_ = "./tasks/panoptic.py"

data_root = "data/ADEChallengeData2016/"
num_things = 100
num_stuff = 50
num_classes = num_things + num_stuff
train_dataloader = dict(
    sampler=dict(type="DefaultSampler"),
    dataset=dict(
        data_root=data_root,
        ann_file="ade20k_panoptic_train.json",
        data_prefix=dict(img="images/training/", seg="ade20k_panoptic_train/"),
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="ade20k_panoptic_val.json",
        data_prefix=dict(img="images/validation/", seg="ade20k_panoptic_val/"),
    )
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(
        type="attnseg.PanopticMetric",
        ann_file=data_root + "ade20k_panoptic_val.json",
        seg_prefix=data_root + "ade20k_panoptic_val/",
    ),
    dict(type="attnseg.CocoInstanceMetric"),
    dict(type="attnseg.SemanticMetric"),
]
test_evaluator = val_evaluator
