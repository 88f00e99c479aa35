# Longer than adamw_2e-3_400i.py, for small networks on crops of small data.
_base_ = "./adamw_2e-3_400i.py"

lr = 3e-3
max_iters = 3500
val_interval = 3500
train_cfg = dict(max_iters=max_iters, val_interval=val_interval)
optim_wrapper = dict(optimizer=dict(lr=lr, weight_decay=1e-2))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=200),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=False, begin=200, end=max_iters),
]
default_hooks = dict(checkpoint=dict(interval=500))
