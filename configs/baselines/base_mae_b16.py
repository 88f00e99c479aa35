# The ViT-B/16 of MAE with UPerNet of mmseg. Without MAE's weights, which are the method, it is a
# plain ViT from scratch: give them as the README says.
_base_ = ["mmseg::_base_/models/upernet_mae.py", "../_base_/runtime/semantic.py"]

norm_cfg = dict(type="BN", requires_grad=True)
data_preprocessor = dict(size_divisor=1)
channels = [768, 768, 768, 768]
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(img_size=(512, 512), out_indices=[3, 5, 7, 11], init_values=1.0),
    neck=dict(embed_dim=768),
    decode_head=dict(
        in_channels=channels,
        channels=768,
        norm_cfg=norm_cfg,
        loss_decode=dict(avg_non_ignore=True),
    ),
    auxiliary_head=dict(in_channels=768, norm_cfg=norm_cfg, loss_decode=dict(avg_non_ignore=True)),
)
