# COCO 2017 at the size of street scenes: 1200x680 pixels (width x height), the ratio kept.
_base_ = "./coco_instance.py"

image_size = (680, 1200)  # height, width
batch_size = 2

train_pipeline = _base_.train_dataloader.dataset.pipeline
test_pipeline = _base_.test_dataloader.dataset.pipeline
train_pipeline[3].update(size=image_size, keep_ratio=True, pad_val=116)
test_pipeline[1].update(scale=image_size[::-1], keep_ratio=True)
train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
