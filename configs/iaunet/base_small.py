# A small encoder and narrow decoder for CPUs, on windows at the scale of the image.
_base_ = "./base.py"

size = 256

model = dict(
    backbone=dict(
        _delete_=True, type="attnseg.UNetEncoder", widths=(32, 64, 128, 256), stem_stride=2
    ),
    head=dict(
        in_channels=[32, 64, 128, 256],
        channels=64,
        num_heads=4,
        query_ratio=4,
        variant="code",
        deep_supervision=True,
        loss=dict(num_points=4096),
    ),
    test_cfg=dict(windows=dict(size=(size, size), overlap=64), max_per_img=1000),
)
