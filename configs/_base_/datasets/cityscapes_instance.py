# Cityscapes, converted by tools/dataset_converters/cityscapes.py: 8 classes.
_base_ = "./tasks/instance.py"

data_root = "data/cityscapes/"
num_classes = 8
train_dataloader = dict(
    sampler=dict(type="DefaultSampler"),
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/instances_train.json",
        data_prefix=dict(img="leftImg8bit/train/"),
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/instances_val.json",
        data_prefix=dict(img="leftImg8bit/val/"),
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type="attnseg.CocoInstanceMetric", ann_file=data_root + "annotations/instances_val.json"
)
test_evaluator = val_evaluator
