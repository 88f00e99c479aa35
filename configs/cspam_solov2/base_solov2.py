# SOLOv2 as mmdet has it, ResNet-50, from scratch: the first row of the paper's ablations.
_base_ = "../_base_/runtime/detection.py"

# Without objects in a batch, mmdet's head leaves its kernels out of the loss.
find_unused_parameters = True
fpn = dict(type="FPN", in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=5)
mask_features = dict(
    feat_channels=128,
    start_level=0,
    end_level=3,
    out_channels=256,
    mask_stride=4,
    norm_cfg=dict(type="GN", num_groups=32, requires_grad=True),
)
grids = dict(
    num_classes=80,
    in_channels=256,
    feat_channels=512,
    stacked_convs=4,
    strides=[8, 8, 16, 32, 32],
    scale_ranges=((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048)),
    pos_scale=0.2,
    num_grids=[40, 36, 24, 16, 12],
)
# For images of 144x256 on a CPU, which is no setting of the paper's; ranges of a quarter.
small = dict(
    feat_channels=128,
    stacked_convs=2,
    scale_ranges=((1, 24), (12, 48), (24, 96), (48, 192), (96, 512)),
    num_grids=[24, 20, 16, 12, 8],
)
model = dict(
    type="SOLOv2",
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32,
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
    neck=fpn,
    mask_head=dict(
        type="SOLOV2Head",
        **grids,
        mask_feature_head=mask_features,
        loss_mask=dict(type="DiceLoss", use_sigmoid=True, loss_weight=3.0),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
    ),
    test_cfg=dict(
        nms_pre=500,
        score_thr=0.1,
        mask_thr=0.5,
        filter_thr=0.05,
        kernel="gaussian",
        sigma=2.0,
        max_per_img=100,
    ),
)
