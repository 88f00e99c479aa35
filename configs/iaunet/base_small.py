# A small encoder and a narrow decoder for CPUs, for windows. CoordConv helps so small a network to
# tell like cells apart.
_base_ = "./base.py"

model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        _delete_=True, type="attnseg.UNetEncoder", widths=(32, 64, 128, 256), stem_stride=2
    ),
    head=dict(
        in_channels=[32, 64, 128, 256],
        channels=64,
        num_heads=4,
        variant="code",
        deep_supervision=True,
        with_cp=False,
        loss=dict(num_points=4096),
    ),
    test_cfg=dict(windows=dict(overlap=48)),
)
