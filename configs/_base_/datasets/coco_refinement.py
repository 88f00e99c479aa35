# COCO 2017 as NeuralSegmentello takes COCO 2014: of each image the largest object, also a crowd.
_base_ = "./tasks/refinement.py"

data_root = "data/coco/"
num_classes = 80
objects = "largest"
min_area = 0
crowd = True
train_dataloader = dict(
    sampler=dict(type="DefaultSampler"),
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
        objects=objects,
        min_area=min_area,
        crowd=crowd,
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"),
        objects=objects,
        min_area=min_area,
        crowd=crowd,
    )
)
test_dataloader = val_dataloader
