# Nuclei of the Data Science Bowl 2018: 2 classes, things first, from the panoptic files.
_base_ = "./tasks/panoptic_as_semantic.py"

data_root = "data/dsb2018/"
num_classes = 2
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/panoptic_train.json",
        data_prefix=dict(img_path="images/train/", seg_map_path="panoptic/train/"),
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/panoptic_val.json",
        data_prefix=dict(img_path="images/val/", seg_map_path="panoptic/val/"),
    )
)
test_dataloader = val_dataloader
