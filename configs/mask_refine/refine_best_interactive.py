# refine_best taught to follow corrections; begin with its weights: --cfg-options load_from=FILE
_base_ = "./refine_best.py"

lr = 1e-3
max_iters = 800
max_rounds = 3
first_share = 0.4  # of the batches, without corrections
model = dict(
    type="attnseg.InteractiveRefinementModel", max_rounds=max_rounds, first_share=first_share
)
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=False, begin=100, end=max_iters),
]
