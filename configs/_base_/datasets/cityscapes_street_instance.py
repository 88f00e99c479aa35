# Cityscapes, converted by tools/dataset_converters/cityscapes.py: the five classes of street
# scenes (car, pedestrian, truck, bus, rider) at 1200x680 pixels (width x height), the ratio kept.
_base_ = "./cityscapes_instance.py"

image_size = (680, 1200)  # height, width
batch_size = 2
num_classes = 5

train_pipeline = _base_.train_dataloader.dataset.pipeline
test_pipeline = _base_.test_dataloader.dataset.pipeline
train_pipeline[3].update(size=image_size, keep_ratio=True, pad_val=116)
test_pipeline[1].update(scale=image_size[::-1], keep_ratio=True)
train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(ann_file="annotations/street_train.json", pipeline=train_pipeline),
)
val_dataloader = dict(
    dataset=dict(ann_file="annotations/street_val.json", pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=_base_.data_root + "annotations/street_val.json")
test_evaluator = val_evaluator
