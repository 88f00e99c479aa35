# Cityscapes, converted by tools/dataset_converters/cityscapes.py: the five classes of street
# scenes (car, pedestrian, truck, bus, rider).
_base_ = "./cityscapes_instance.py"

num_classes = 5
train_dataloader = dict(dataset=dict(ann_file="annotations/street_train.json"))
val_dataloader = dict(dataset=dict(ann_file="annotations/street_val.json"))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=_base_.data_root + "annotations/street_val.json")
test_evaluator = val_evaluator
