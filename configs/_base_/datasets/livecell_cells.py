# LIVECell, converted by tools/dataset_converters/livecell.py: 1 class, LIVECell's own settings.
_base_ = "./tasks/cells.py"

data_root = "data/livecell/"
num_classes = 1
split_file = data_root + "annotations/instances_{}.json"
common = dict(data_root=data_root, data_prefix=dict(img=""), outside_files=True)
train_dataloader = dict(dataset=dict(ann_file="annotations/instances_train.json", **common))
val_dataloader = dict(dataset=dict(ann_file="annotations/instances_val.json", **common))
test_dataloader = dict(dataset=dict(ann_file="annotations/instances_test.json", **common))
val_evaluator = [
    dict(type="attnseg.CocoInstanceMetric", ann_file=split_file.format("val"), preset="livecell"),
    dict(type="attnseg.CellMetric", ann_file=split_file.format("val")),
]
test_evaluator = [
    dict(type="attnseg.CocoInstanceMetric", ann_file=split_file.format("test"), preset="livecell"),
    dict(type="attnseg.CellMetric", ann_file=split_file.format("test")),
]
