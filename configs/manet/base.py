# MA-Net over ResNet-50 from scratch, at the input's full size; two auxiliary heads on its encoder.
_base_ = "../_base_/runtime/semantic.py"

norm_cfg = dict(type="BN", requires_grad=True)
cross_entropy = dict(type="CrossEntropyLoss", avg_non_ignore=True)
auxiliary_loss = dict(type="CrossEntropyLoss", avg_non_ignore=True, loss_weight=0.4)
auxiliary = dict(
    type="FCNHead",
    channels=256,
    num_convs=1,
    concat_input=False,
    dropout_ratio=0.1,
    num_classes=19,
    norm_cfg=norm_cfg,
    align_corners=False,
    loss_decode=auxiliary_loss,
)

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
    # Local weights: init_cfg=dict(type="attnseg.AdaptedPretrained", checkpoint="resnet50.pth")
    backbone=dict(
        type="ResNet",
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_cfg=norm_cfg,
        norm_eval=False,
        style="pytorch",
    ),
    decode_head=dict(
        type="attnseg.MANetHead",
        in_channels=[256, 512, 1024, 2048],
        in_index=[0, 1, 2, 3],
        decoder_channels=[256, 128, 64, 32, 16],
        pab_channels=512,
        scale="one",
        upsample_blocks=2,
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=cross_entropy,
    ),
    auxiliary_head=[
        dict(in_channels=1024, in_index=2, **auxiliary),
        dict(in_channels=512, in_index=1, **auxiliary),
    ],
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
