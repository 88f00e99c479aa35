"""A short schedule for IAUNet from scratch on a CPU: not the paper's, and to be labelled so.

AdamW 1e-3 after a linear warm-up, cosine to 1e-6, gradients clipped. It expects InfiniteSampler.
"""

lr = 1e-3
lr_min = 1e-6
weight_decay = 0.05
max_iters = 1200
val_interval = 600
warmup_iters = 50
grad_clip = dict(max_norm=0.1, norm_type=2)

train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=val_interval)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=lr, weight_decay=weight_decay),
    clip_grad=grad_clip,
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=warmup_iters),
    dict(
        type="CosineAnnealingLR",
        T_max=max_iters - warmup_iters,
        eta_min=lr_min,
        by_epoch=False,
        begin=warmup_iters,
        end=max_iters,
    ),
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
