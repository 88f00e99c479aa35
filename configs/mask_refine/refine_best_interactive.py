# refine_best taught to follow corrections; begin with its weights: --cfg-options load_from=FILE
_base_ = "./refine_best.py"

lr = 1.5e-3
max_iters = 1200
max_rounds = 3
model = dict(type="attnseg.InteractiveRefinementModel", max_rounds=max_rounds)
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=False, begin=100, end=max_iters),
]
