"""The paper's schedule: AdamW, learning rate 5e-4, weight decay 1e-3, 1000 epochs.

The paper states no decay of the learning rate, so it stays constant; the short
linear warm-up is ours, for the attention layers.
"""

lr = 5e-4
weight_decay = 1e-3
max_epochs = 1000
val_interval = 50
warmup_iters = 500

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=val_interval)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="AdamW", lr=lr, weight_decay=weight_decay)
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=warmup_iters),
]
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=50),
    checkpoint=dict(
        type="CheckpointHook",
        by_epoch=True,
        interval=val_interval,
        save_last=True,
        max_keep_ckpts=2,
    ),
)
log_processor = dict(type="LogProcessor", window_size=50, by_epoch=True)
