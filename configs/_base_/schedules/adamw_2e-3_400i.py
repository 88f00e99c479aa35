"""A short schedule for small data, counted in iterations.

It expects InfiniteSampler, so that resuming is fast.
"""

lr = 2e-3
weight_decay = 1e-3
max_iters = 400
val_interval = 200
warmup_iters = 50

train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=val_interval)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="AdamW", lr=lr, weight_decay=weight_decay)
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=warmup_iters),
    dict(type="PolyLR", power=0.9, eta_min=0.0, by_epoch=False, begin=warmup_iters, end=max_iters),
]
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    checkpoint=dict(
        type="CheckpointHook",
        by_epoch=False,
        interval=val_interval,
        save_last=True,
        max_keep_ckpts=2,
    ),
)
log_processor = dict(type="LogProcessor", window_size=50, by_epoch=False)
