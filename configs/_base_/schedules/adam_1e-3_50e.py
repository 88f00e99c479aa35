"""The schedule of NeuralSegmentello: Adam 1e-3, at most 50 epochs, a validation after each.

Neither decay nor clipping nor warm-up. The best checkpoint is that of the least validation loss;
what stops early belongs to the method's hooks.
"""

lr = 1e-3
max_epochs = 50
val_interval = 1

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=val_interval)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=lr))
param_scheduler = None
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=50),
    checkpoint=dict(
        type="CheckpointHook",
        by_epoch=True,
        interval=val_interval,
        save_last=True,
        max_keep_ckpts=1,
        save_best="val_loss",
        rule="less",
    ),
)
log_processor = dict(
    type="LogProcessor",
    window_size=50,
    by_epoch=True,
    # The loss of this validation decides; without this the log has the mean of all so far.
    custom_cfg=[dict(data_src="val_loss", method_name="current")],
)
