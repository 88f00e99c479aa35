# Ours: crops around the stroke, RGB and distances, a deep U-Net with mask attention.
_base_ = [
    "../_base_/runtime/detection.py",
    "../_base_/datasets/coco_mini_refinement.py",
    "../_base_/schedules/adamw_3e-3_3500i.py",
]

size = (224, 224)
batch_size = 16
min_area = 400  # pixels, of the objects in training
max_size = (384, 384)  # in tests: the outlines of large objects are drawn finer
crop = dict(type="attnseg.CropToStroke", size=size, margin=0.25, min_margin=64)
channels = ("coarse", "distance", "rgb", "add", "remove")
# Before a correction `add` and `remove` are empty, and trained so they are ignored.
model = dict(
    type="attnseg.MaskRefinementModel",
    data_preprocessor=dict(
        type="attnseg.RefinementPreprocessor", channels=channels, relative_distance=0.04
    ),
    network=dict(
        type="attnseg.StrokeUNet",
        in_channels=7,
        silent_channels=2,
        residual_channel=1,
        training_dtype="bfloat16",
    ),
    losses=[
        dict(type="attnseg.MaskBCELoss"),
        dict(type="attnseg.RegionDiceLoss", per_image=True),
        dict(type="attnseg.SobelBoundaryLoss", loss_weight=0.5),
    ],
)
train_pipeline = [
    dict(type="attnseg.LoadImage"),
    dict(type="attnseg.LoadObjectMask"),
    dict(type="mmseg.PhotoMetricDistortion"),
    dict(type="attnseg.FlipObject"),
    dict(type="attnseg.CoarseMask", mode=dict(erode=8, dilate=0.5, paintbrush=1, jitter=0.5)),
    dict(crop, jitter=0.1),
    dict(type="attnseg.PackRefinement"),
]
test_pipeline = [
    *_base_.test_pipeline[:3],
    dict(crop, max_size=max_size),
    _base_.test_pipeline[3],
]
train_dataloader = dict(
    _delete_=True,
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(_base_.train_dataloader.dataset, min_area=min_area, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
