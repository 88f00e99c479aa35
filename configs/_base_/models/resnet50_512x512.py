# ResNet-50 from scratch on inputs of 512x512, for detectors of mmdet.
model = dict(
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=512,  # positions are relative to the input, which is 512x512 in training
    ),
    # Local weights: init_cfg=dict(type="attnseg.AdaptedPretrained", checkpoint="resnet50.pth")
    backbone=dict(
        type="ResNet",
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=False,
        style="pytorch",
    ),
)
