"""IAUNet's schedule: AdamW 1e-4, weight decay 0.05, cosine to 1e-6 over all iterations.

The paper trains "until convergence" with batch 8. The number of iterations is the cosine's period
of the published settings. It expects InfiniteSampler, so that resuming is fast.
"""

lr = 1e-4
lr_min = 1e-6
weight_decay = 0.05
max_iters = 16000
val_interval = 2000
grad_clip = None  # the paper has none; Mask2Former's is dict(max_norm=0.01, norm_type=2)

train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=val_interval)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="AdamW", lr=lr, weight_decay=weight_decay)
)
# Absent rather than None: a leaf cannot merge a dictionary into None.
if grad_clip:
    optim_wrapper["clip_grad"] = grad_clip
param_scheduler = [
    dict(
        type="CosineAnnealingLR",
        T_max=max_iters,
        eta_min=lr_min,
        by_epoch=False,
        begin=0,
        end=max_iters,
    )
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
