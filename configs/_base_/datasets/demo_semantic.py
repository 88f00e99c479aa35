# Generated demo set (tools/make_demo_set.py): 3 things and 2 stuff as 5 classes.
_base_ = "./tasks/semantic.py"

data_root = "data/demo/"
num_classes = 5
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        img_suffix=".png",
        data_prefix=dict(img_path="images/train/", seg_map_path="semantic/train/"),
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        img_suffix=".png",
        data_prefix=dict(img_path="images/val/", seg_map_path="semantic/val/"),
    )
)
test_dataloader = val_dataloader
