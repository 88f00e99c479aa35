# Semantic segmentation straight from panoptic json and PNG.
_base_ = "./semantic.py"

load_annotations = dict(type="attnseg.LoadPanopticAsSemantic")
train_dataloader = dict(
    dataset=dict(
        type="attnseg.CocoPanopticSemanticDataset",
        pipeline=[dict(type="attnseg.LoadImage"), load_annotations, *_base_.train_pipeline[2:]],
    )
)
val_dataloader = dict(
    dataset=dict(
        type="attnseg.CocoPanopticSemanticDataset",
        pipeline=[*_base_.test_pipeline[:2], load_annotations, *_base_.test_pipeline[3:]],
    )
)
test_dataloader = val_dataloader
