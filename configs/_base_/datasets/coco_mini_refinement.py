# A small part of COCO, about one image a class: 80 classes.
_base_ = "./tasks/refinement.py"

data_root = "data/coco_mini/"
num_classes = 80
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"),
    )
)
test_dataloader = val_dataloader
