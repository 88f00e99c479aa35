# COCO 2017: 133 classes, things first, from the panoptic files.
_base_ = "./tasks/panoptic_as_semantic.py"

data_root = "data/coco/"
num_classes = 133
train_dataloader = dict(
    sampler=dict(type="DefaultSampler"),
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/panoptic_train2017.json",
        data_prefix=dict(img_path="train2017/", seg_map_path="annotations/panoptic_train2017/"),
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/panoptic_val2017.json",
        data_prefix=dict(img_path="val2017/", seg_map_path="annotations/panoptic_val2017/"),
    )
)
test_dataloader = val_dataloader
