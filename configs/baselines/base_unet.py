# U-Net of mmseg with its FCN heads, from scratch; input and losses as MA-Net has them.
_base_ = ["mmseg::_base_/models/fcn_unet_s5-d16.py", "../_base_/runtime/semantic.py"]

norm_cfg = dict(type="BN", requires_grad=True)
data_preprocessor = dict(size_divisor=1)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(norm_cfg=norm_cfg),
    decode_head=dict(norm_cfg=norm_cfg, loss_decode=dict(avg_non_ignore=True)),
    auxiliary_head=dict(norm_cfg=norm_cfg, loss_decode=dict(avg_non_ignore=True)),
    test_cfg=dict(_delete_=True, mode="whole"),
)
