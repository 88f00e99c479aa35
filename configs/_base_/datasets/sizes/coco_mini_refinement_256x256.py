# The largest object of each image, as published, in a crop of 256x256 (height x width).
_base_ = "../coco_mini_refinement.py"

objects = "largest"
crop = dict(type="attnseg.CropToStroke", size=(256, 256), margin=0.25, min_margin=48)
train_pipeline = [*_base_.train_pipeline[:3], crop, _base_.train_pipeline[3]]
test_pipeline = [*_base_.test_pipeline[:3], crop, _base_.test_pipeline[3]]
train_dataloader = dict(dataset=dict(objects=objects, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(objects=objects, pipeline=test_pipeline))
test_dataloader = val_dataloader
