# Nuclei of the Data Science Bowl 2018: 1 class. Half of them have fewer than 330 pixels.
_base_ = "./tasks/refinement.py"

data_root = "data/dsb2018/"
num_classes = 1
min_area = 256
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
