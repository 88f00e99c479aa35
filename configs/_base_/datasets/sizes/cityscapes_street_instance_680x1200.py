# Street scenes of Cityscapes at 680x1200 (height x width), the ratio kept. The batch is padded, not
# the image: grids of SOLO span the input, and the cells of padding would not be trained.
_base_ = "../cityscapes_street_instance.py"

image_size = (680, 1200)  # height, width
train_pipeline = _base_.train_dataloader.dataset.pipeline
test_pipeline = _base_.test_dataloader.dataset.pipeline
train_pipeline[3].update(size=image_size, keep_ratio=True, pad=False)
test_pipeline[1].update(scale=image_size[::-1], keep_ratio=True)
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
