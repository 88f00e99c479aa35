# Semantic segmentation through mmseg. A data set file inherits this and names its files.
# In every pipeline of ours the size stands at one place: train_pipeline[3].size and
# test_pipeline[1].scale (width, height), so that a leaf changes it in three lines.
image_size = (128, 128)  # height, width
batch_size = 8
num_workers = 2

meta_keys = (
    "img_id",
    "img_path",
    "seg_map_path",
    "ori_shape",
    "img_shape",
    "pad_shape",
    "scale_factor",
    "flip",
    "flip_direction",
    "reduce_zero_label",
)
# Padding is void in the map itself, so that RandomFlip may stand behind ScaleJitter here.
train_pipeline = [
    dict(type="attnseg.LoadImage"),
    dict(type="LoadAnnotations"),
    dict(type="attnseg.CheckSample"),
    dict(type="attnseg.ScaleJitter", size=image_size, ratio_range=(0.8, 1.25)),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs", meta_keys=meta_keys),
]
# The map is loaded behind Resize: predictions are compared at the original size.
# Our data sets read LoadImageFromFile as attnseg.LoadImage; the inferencers want this name.
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=image_size[::-1], keep_ratio=False),
    dict(type="LoadAnnotations"),
    dict(type="attnseg.CheckSample"),
    dict(type="PackSegInputs", meta_keys=meta_keys),
]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="attnseg.SemanticDataset", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="attnseg.SemanticDataset", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="attnseg.SemanticMetric")
test_evaluator = val_evaluator
