# Mask R-CNN with IAUNet's Swin-S.
_base_ = "./base_mask-rcnn.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="SwinTransformer",
        embed_dims=96,
        depths=[2, 2, 18, 2],
        num_heads=[3, 6, 12, 24],
        window_size=7,
        drop_path_rate=0.3,
        out_indices=(0, 1, 2, 3),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
