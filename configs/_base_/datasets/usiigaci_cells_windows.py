# Usiigaci at half its scale: crops in training, whole images in tests (for windows).
_base_ = "./usiigaci_cells.py"

scale_factor = 0.5
ratio_range = (0.4, 0.75)
batch_size = 4
window = (128, 128)  # height, width

train_pipeline = _base_.train_pipeline
train_pipeline[3].update(size=window, ratio_range=ratio_range, native=True)
test_pipeline = _base_.test_pipeline
test_pipeline[1] = dict(type="Resize", scale_factor=scale_factor, keep_ratio=True)
train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
