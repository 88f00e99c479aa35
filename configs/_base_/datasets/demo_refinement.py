# Generated demo set (tools/make_demo_set.py): 3 classes.
_base_ = "./tasks/refinement.py"

data_root = "data/demo/"
num_classes = 3
min_area = 16
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/instances_train.json",
        data_prefix=dict(img="images/train/"),
        min_area=min_area,
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/instances_val.json",
        data_prefix=dict(img="images/val/"),
        min_area=min_area,
    )
)
test_dataloader = val_dataloader
