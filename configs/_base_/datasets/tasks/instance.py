# Instance segmentation through mmdet. A data set file inherits this and names its files.
# The size stands at one place: train_pipeline[3].size and test_pipeline[1].scale (width, height).
image_size = (128, 128)  # height, width
batch_size = 8
num_workers = 2
filter_empty_gt = False  # True leaves images without objects out of training

# LoadImage compares the files with the image; labels come from the json and cannot be out of range.
# RandomFlip stands in front of ScaleJitter, whose padding has to stay right and below.
train_pipeline = [
    dict(type="attnseg.LoadImage"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="attnseg.ScaleJitter", size=image_size, ratio_range=(0.8, 1.25)),
    dict(type="PackDetInputs"),
]
# Annotations are loaded behind Resize: predictions are compared at the original size.
# Our data sets read LoadImageFromFile as attnseg.LoadImage; the inferencers want this name.
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=image_size[::-1], keep_ratio=False),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="attnseg.CheckSample"),
    dict(type="PackDetInputs"),
]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="attnseg.CocoInstanceDataset",
        filter_cfg=dict(filter_empty_gt=filter_empty_gt),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="attnseg.CocoInstanceDataset", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
