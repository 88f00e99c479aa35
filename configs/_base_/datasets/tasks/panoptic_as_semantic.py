# Semantic segmentation straight from panoptic json and PNG.
_base_ = "./semantic.py"

load_annotations = dict(type="attnseg.LoadPanopticAsSemantic")
train_pipeline = [_base_.train_pipeline[0], load_annotations, *_base_.train_pipeline[2:]]
test_pipeline = [*_base_.test_pipeline[:2], load_annotations, *_base_.test_pipeline[3:]]
train_dataloader = dict(
    dataset=dict(type="attnseg.CocoPanopticSemanticDataset", pipeline=train_pipeline)
)
val_dataloader = dict(
    dataset=dict(type="attnseg.CocoPanopticSemanticDataset", pipeline=test_pipeline)
)
test_dataloader = val_dataloader
