# ADE20K (scene parsing): 150 classes.
_base_ = "./tasks/semantic.py"

data_root = "data/ADEChallengeData2016/"
num_classes = 150
train_dataloader = dict(
    sampler=dict(type="DefaultSampler"),
    dataset=dict(
        data_root=data_root,
        metainfo_of="ADE20KDataset",
        reduce_zero_label=True,
        data_prefix=dict(img_path="images/training/", seg_map_path="annotations/training/"),
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo_of="ADE20KDataset",
        reduce_zero_label=True,
        data_prefix=dict(img_path="images/validation/", seg_map_path="annotations/validation/"),
    )
)
test_dataloader = val_dataloader
