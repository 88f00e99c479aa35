# SegFormer-B2 of mmseg: the size of ResNet-50.
_base_ = "./base_segformer_b0.py"

model = dict(
    backbone=dict(embed_dims=64, num_heads=[1, 2, 5, 8], num_layers=[3, 4, 6, 3]),
    decode_head=dict(in_channels=[64, 128, 320, 512]),
)
