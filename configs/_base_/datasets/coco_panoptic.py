# COCO 2017: 80 things, 53 stuff.
_base_ = "./tasks/panoptic.py"

data_root = "data/coco/"
num_things = 80
num_stuff = 53
num_classes = num_things + num_stuff
train_dataloader = dict(
    sampler=dict(type="DefaultSampler"),
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/panoptic_train2017.json",
        data_prefix=dict(img="train2017/", seg="annotations/panoptic_train2017/"),
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/panoptic_val2017.json",
        data_prefix=dict(img="val2017/", seg="annotations/panoptic_val2017/"),
    )
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(
        type="attnseg.PanopticMetric",
        ann_file=data_root + "annotations/panoptic_val2017.json",
        seg_prefix=data_root + "annotations/panoptic_val2017/",
    ),
    dict(
        type="attnseg.CocoInstanceMetric", ann_file=data_root + "annotations/instances_val2017.json"
    ),
    dict(type="attnseg.SemanticMetric"),
]
test_evaluator = val_evaluator
