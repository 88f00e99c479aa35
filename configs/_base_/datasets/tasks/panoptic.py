# Panoptic segmentation through mmdet. Labels: things 0..num_things-1, then stuff.
# The size stands at one place: train_pipeline[3].size and test_pipeline[1].scale (width, height).
_base_ = "./instance.py"

load_annotations = dict(type="LoadPanopticAnnotations")
train_pipeline = [_base_.train_pipeline[0], load_annotations, *_base_.train_pipeline[2:]]
test_pipeline = [*_base_.test_pipeline[:2], load_annotations, *_base_.test_pipeline[3:]]
train_dataloader = dict(dataset=dict(type="attnseg.CocoPanopticDataset", pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type="attnseg.CocoPanopticDataset", pipeline=test_pipeline))
test_dataloader = val_dataloader
