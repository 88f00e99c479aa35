# Can it fit 313 nuclei? Trained and tested on one image of the training set.
_base_ = [
    "./base_small.py",
    "../_base_/datasets/dsb2018_cells_windows.py",
    "../_base_/schedules/iaunet_adamw_1e-3_1200i.py",
]
window = (64, 64)
train_file = _base_.data_root + "annotations/instances_train.json"

model = dict(
    backbone=dict(stem_stride=1),
    head=dict(num_classes=_base_.num_classes, num_queries=40),
    test_cfg=dict(windows=dict(size=window, overlap=32)),
)
train_pipeline = _base_.train_dataloader.dataset.pipeline
train_pipeline[2] = dict(type="RandomFlip", prob=0.0)
train_pipeline[3].update(size=window, ratio_range=(1.0, 1.0))
train_dataloader = dict(dataset=dict(indices=[16], pipeline=train_pipeline))
# The data set of the training, with the pipeline of the tests.
val_dataloader = dict(
    dataset=dict(
        ann_file=_base_.train_dataloader.dataset.ann_file,
        data_prefix=_base_.train_dataloader.dataset.data_prefix,
        indices=[16],
    )
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type="attnseg.CocoInstanceMetric", ann_file=train_file, max_dets=(1, 100, 1000)),
    dict(type="attnseg.CellMetric", ann_file=train_file),
]
test_evaluator = val_evaluator
