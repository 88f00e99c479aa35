# Cells by instance segmentation through mmdet, at the setting of IAUNet (its section 8): longest
# side to image_size with the ratio kept, scale jitter, flips, crop and padding to image_size.
# A data set file inherits this and names its files.
# The size stands at one place: train_pipeline[3].size and test_pipeline[1].scale (width, height).
image_size = (512, 512)  # height, width
ratio_range = (0.8, 1.5)
# Near the mean that the data preprocessors subtract, which is how they pad tests. It has to be 0
# behind attnseg.NormalizeChannels, where 116 would be as many deviations.
pad_val = 116
batch_size = 8
num_workers = 2
filter_empty_gt = False  # True leaves images without objects out of training

# The three directions stand for one flip each way, at 0.5 each and independent of one another.
# RandomFlip stands in front of ScaleJitter, whose padding has to stay right and below.
flips = dict(type="RandomFlip", prob=[0.25] * 3, direction=["horizontal", "vertical", "diagonal"])
train_pipeline = [
    dict(type="attnseg.LoadImage"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    flips,
    dict(
        type="attnseg.ScaleJitter",
        size=image_size,
        ratio_range=ratio_range,
        pad_val=pad_val,
        keep_ratio=True,
    ),
    dict(type="PackDetInputs"),
]
# Annotations are loaded behind Resize: predictions are compared at the original size.
# Our data sets read LoadImageFromFile as attnseg.LoadImage; the inferencers want this name.
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=image_size[::-1], keep_ratio=True),
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
