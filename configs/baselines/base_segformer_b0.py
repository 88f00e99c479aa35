# SegFormer-B0 of mmseg, from scratch; input and losses as MA-Net has them.
_base_ = ["mmseg::_base_/models/segformer_mit-b0.py", "../_base_/runtime/semantic.py"]

norm_cfg = dict(type="BN", requires_grad=True)
data_preprocessor = dict(size_divisor=1)
model = dict(
    data_preprocessor=data_preprocessor,
    decode_head=dict(norm_cfg=norm_cfg, loss_decode=dict(avg_non_ignore=True)),
)
