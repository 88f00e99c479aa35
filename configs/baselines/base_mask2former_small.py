# Mask2Former with IAUNet's small encoder, a narrow decoder and windows, for CPUs.
_base_ = "./base_mask2former.py"

channels = 64
num_heads = 4

attention = dict(embed_dims=channels, num_heads=num_heads, dropout=0.0, batch_first=True)
ffn = dict(embed_dims=channels, feedforward_channels=4 * channels)
position = dict(num_feats=channels // 2, normalize=True)

detector = _base_.model
data_preprocessor = detector.pop("data_preprocessor")
data_preprocessor.pad_size_divisor = 32
detector.backbone = dict(type="attnseg.UNetEncoder", widths=(32, 64, 128, 256), stem_stride=2)
head = detector.panoptic_head
head.update(
    in_channels=[32, 64, 128, 256],
    strides=[2, 4, 8, 16],
    feat_channels=channels,
    out_channels=channels,
    positional_encoding=position,
)
head.pixel_decoder.norm_cfg.num_groups = 16
head.pixel_decoder.positional_encoding = position
head.pixel_decoder.encoder.num_layers = 1
head.pixel_decoder.encoder.layer_cfg.self_attn_cfg.update(attention)
head.pixel_decoder.encoder.layer_cfg.ffn_cfg.update(ffn)
head.transformer_decoder.num_layers = 3
head.transformer_decoder.layer_cfg.update(self_attn_cfg=attention, cross_attn_cfg=attention)
head.transformer_decoder.layer_cfg.ffn_cfg.update(ffn)
detector.train_cfg.num_points = 4096
model = dict(
    _delete_=True,
    type="attnseg.SlidingWindowDetector",
    data_preprocessor=data_preprocessor,
    detector=detector,
    windows=dict(overlap=48),
)
del detector, head
