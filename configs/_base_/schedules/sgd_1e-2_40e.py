"""The schedule of CSPAM-SOLOv2: SGD 0.01, momentum 0.9, weight decay 1e-4, 40 epochs, a step at 10.

The rate falls to a tenth once. The paper names no warm-up and no clipping of gradients; both are
SOLOv2's as mmdet has it.
"""

lr = 0.01
momentum = 0.9
weight_decay = 1e-4
max_epochs = 40
milestones = [10]
val_interval = 5
warmup_iters = 500
grad_clip = dict(max_norm=35, norm_type=2)

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=val_interval)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=lr, momentum=momentum, weight_decay=weight_decay),
    clip_grad=grad_clip,
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=warmup_iters),
    dict(
        type="MultiStepLR",
        milestones=milestones,
        gamma=0.1,
        by_epoch=True,
        begin=0,
        end=max_epochs,
    ),
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
