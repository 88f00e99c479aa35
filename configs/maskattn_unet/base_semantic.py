# MaskAttn-UNet for semantic segmentation: mmseg's EncoderDecoder, cross-entropy alone.
_base_ = "../_base_/runtime/semantic.py"

model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        seg_pad_val=255,
        size_divisor=1,
    ),
    backbone=dict(type="attnseg.MaskAttnUNet", preset="paper"),
    decode_head=dict(
        type="FCNHead",
        in_channels=64,
        channels=64,
        in_index=0,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=19,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
