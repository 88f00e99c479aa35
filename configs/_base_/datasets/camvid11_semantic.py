# CamVid: 11 classes, named by classes.txt of the data set.
_base_ = "./tasks/semantic.py"

data_root = "data/camvid11/"
num_classes = 11
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(img_path="images/train/", seg_map_path="annotations/train/"),
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(img_path="images/val/", seg_map_path="annotations/val/"),
    )
)
test_dataloader = val_dataloader
