# IAUNet-R50 as the paper's text has it; leaves choose data, schedule, encoder and variant.
_base_ = "../_base_/runtime/detection.py"

num_queries = 100  # the most objects in an image, or in a window of it

model = dict(
    type="attnseg.IAUNet",
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
    head=dict(
        type="attnseg.IAUNetHead",
        in_channels=[256, 512, 1024, 2048],
        num_queries=num_queries,
        variant="paper",
        pixel_update="both",
        with_cp=True,  # less memory for more time
        loss=dict(type="attnseg.MaskSetLoss"),
    ),
    test_cfg=dict(score_thr=0.01, nms_iou=0.8, max_per_img=num_queries),
)
