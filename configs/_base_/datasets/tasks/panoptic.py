# Panoptic segmentation through mmdet. Labels: things 0..num_things-1, then stuff.
# The size stands at one place: train_pipeline[3].size and test_pipeline[1].scale (width, height).
_base_ = "./instance.py"

load, split = dict(type="attnseg.LoadPanopticMap"), dict(type="attnseg.SplitPanopticMap")
image, _, flip, jitter, pack = _base_.train_pipeline
train_pipeline = [image, load, flip, jitter, split, pack]
image, resize, _, _, pack = _base_.test_pipeline
test_pipeline = [image, resize, load, split, pack]
train_dataloader = dict(dataset=dict(type="attnseg.CocoPanopticDataset", pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type="attnseg.CocoPanopticDataset", pipeline=test_pipeline))
test_dataloader = val_dataloader
