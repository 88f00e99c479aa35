# MaskAttn-UNet for instances: cross-entropy + lambda x instance contrastive loss (Eq. 7).
_base_ = "../_base_/runtime/detection.py"

contrastive_weight = 0.5  # lambda
temperature = 0.1  # tau, not stated in the paper

model = dict(
    type="attnseg.PixelSegmentor",
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_seg=True,
        seg_pad_value=255,
    ),
    backbone=dict(type="attnseg.MaskAttnUNet", preset="paper"),
    head=dict(
        type="attnseg.PixelEmbeddingHead",
        in_channels=64,
        num_things=80,
        num_stuff=0,
        task="instance",
        embed_dim=16,
        loss_instance=dict(
            type="attnseg.InstanceContrastiveLoss",
            temperature=temperature,
            loss_weight=contrastive_weight,
        ),
    ),
    test_cfg=dict(method="embedding", similarity=0.7, max_per_img=100),
)
