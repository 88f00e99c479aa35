# COCO 2017: 80 classes.
_base_ = "./tasks/instance.py"

data_root = "data/coco/"
num_classes = 80
train_dataloader = dict(
    sampler=dict(type="DefaultSampler"),
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"),
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type="attnseg.CocoInstanceMetric", ann_file=data_root + "annotations/instances_val2017.json"
)
test_evaluator = val_evaluator
