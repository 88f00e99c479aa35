# MA-Net over ResNet-18 for inputs of 128x128: the last stage keeps its size, 8x8 tokens.
_base_ = "./base.py"

auxiliary = dict(_base_.auxiliary, channels=64)
model = dict(
    backbone=dict(depth=18, strides=(1, 2, 2, 1)),
    decode_head=dict(
        in_channels=[64, 128, 256, 512],
        decoder_channels=[128, 64, 64, 32, 16],
        pab_channels=128,
        attention_channels=16,
    ),
    auxiliary_head=[
        dict(in_channels=256, in_index=2, **auxiliary),
        dict(in_channels=128, in_index=1, **auxiliary),
    ],
)
