# ADE20K, converted by tools/dataset_converters/ade20k.py: 100 classes.
_base_ = "./tasks/instance.py"

data_root = "data/ADEChallengeData2016/"
num_classes = 100
train_dataloader = dict(
    sampler=dict(type="DefaultSampler"),
    dataset=dict(
        data_root=data_root,
        ann_file="ade20k_instance_train.json",
        data_prefix=dict(img="images/training/"),
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="ade20k_instance_val.json",
        data_prefix=dict(img="images/validation/"),
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type="attnseg.CocoInstanceMetric", ann_file=data_root + "ade20k_instance_val.json"
)
test_evaluator = val_evaluator
