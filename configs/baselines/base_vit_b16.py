# ViT-B/16 with UPerNet of mmseg, from scratch; input and losses as MA-Net has them.
_base_ = ["mmseg::_base_/models/upernet_vit-b16_ln_mln.py", "../_base_/runtime/semantic.py"]

norm_cfg = dict(type="BN", requires_grad=True)
data_preprocessor = dict(size_divisor=1)
model = dict(
    data_preprocessor=data_preprocessor,
    pretrained=None,
    backbone=dict(drop_path_rate=0.1, final_norm=True),
    decode_head=dict(norm_cfg=norm_cfg, loss_decode=dict(avg_non_ignore=True)),
    auxiliary_head=dict(norm_cfg=norm_cfg, loss_decode=dict(avg_non_ignore=True)),
)
