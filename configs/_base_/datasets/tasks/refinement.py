# Refinement of coarse masks: a sample is an object. A data set file inherits this, names its files.
# As published: the image at its own size, masks of the mode "erode", no augmentation.
objects = "all"  # or "largest": that of each image
min_area = 1024  # pixels
crowd = False
mode = "erode"
mask_seed = 0  # of the coarse masks of validation and test: the same in each epoch and run
batch_size = 1
num_workers = 2

train_pipeline = [
    dict(type="attnseg.LoadImage"),
    dict(type="attnseg.LoadObjectMask"),
    dict(type="attnseg.CoarseMask", mode=mode),
    dict(type="attnseg.PackRefinement"),
]
test_pipeline = [
    dict(type="attnseg.LoadImage"),
    dict(type="attnseg.LoadObjectMask"),
    dict(type="attnseg.CoarseMask", mode=mode, seed=mask_seed),
    dict(type="attnseg.PackRefinement", keep_masks=True),
]
dataset = dict(type="attnseg.ObjectMaskDataset", objects=objects, min_area=min_area, crowd=crowd)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    # Upright and lying images apart: less padding.
    batch_sampler=dict(type="mmdet.AspectRatioBatchSampler"),
    dataset=dict(**dataset, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**dataset, test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="attnseg.RefinementMetric")
test_evaluator = val_evaluator
