# MaskFormer with the encoder and the width of the small Mask2Former, on whole images.
_base_ = "./base_maskformer.py"

channels = 64
attention = dict(embed_dims=channels, num_heads=4, dropout=0.1, batch_first=True)
ffn = dict(embed_dims=channels, feedforward_channels=4 * channels)
position = dict(num_feats=channels // 2, normalize=True)
model = dict(
    data_preprocessor=dict(pad_size_divisor=32, pad_seg=True, seg_pad_value=255),
    backbone=dict(
        _delete_=True, type="attnseg.UNetEncoder", widths=(32, 64, 128, 256), stem_stride=2
    ),
    panoptic_head=dict(
        in_channels=[32, 64, 128, 256],
        feat_channels=channels,
        out_channels=channels,
        pixel_decoder=dict(
            norm_cfg=dict(num_groups=16),
            encoder=dict(num_layers=1, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn)),
            positional_encoding=position,
        ),
        positional_encoding=position,
        transformer_decoder=dict(
            num_layers=3,
            layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=ffn),
        ),
    ),
)
