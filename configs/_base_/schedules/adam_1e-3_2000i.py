# The optimizer of NeuralSegmentello for a short comparison: no early stop, the last weights count.
_base_ = "./adamw_2e-3_400i.py"

lr = 1e-3
max_iters = 2000
val_interval = 2000
train_cfg = dict(max_iters=max_iters, val_interval=val_interval)
optim_wrapper = dict(optimizer=dict(_delete_=True, type="Adam", lr=lr))
param_scheduler = None
default_hooks = dict(checkpoint=dict(interval=val_interval))
