# Mask2Former with IAUNet's Swin-B.
_base_ = "./base_mask2former.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="SwinTransformer",
        embed_dims=128,
        depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32],
        window_size=7,
        drop_path_rate=0.3,
        out_indices=(0, 1, 2, 3),
    ),
    panoptic_head=dict(in_channels=[128, 256, 512, 1024]),
)
