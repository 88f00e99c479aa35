# QueryInst of mmdet with 100 queries and 6 stages, from scratch.
# mmdet has it only as a whole config, with data and schedule that no leaf could replace.
_base_ = ["../_base_/models/resnet50_512x512.py", "../_base_/runtime/detection.py"]

num_proposals = 100
num_stages = 6
relu = dict(type="ReLU", inplace=True)
dynamic_conv = dict(
    type="DynamicConv",
    in_channels=256,
    feat_channels=64,
    out_channels=256,
    act_cfg=relu,
    norm_cfg=dict(type="LN"),
)
box_head = dict(
    type="DIIHead",
    num_classes=80,
    num_ffn_fcs=2,
    num_heads=8,
    num_cls_fcs=1,
    num_reg_fcs=3,
    feedforward_channels=2048,
    in_channels=256,
    dropout=0.0,
    ffn_act_cfg=relu,
    dynamic_conv_cfg=dict(**dynamic_conv, input_feat_shape=7),
    loss_bbox=dict(type="L1Loss", loss_weight=5.0),
    loss_iou=dict(type="GIoULoss", loss_weight=2.0),
    loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0),
    bbox_coder=dict(
        type="DeltaXYWHBBoxCoder",
        clip_border=False,
        target_means=[0.0, 0.0, 0.0, 0.0],
        target_stds=[0.5, 0.5, 1.0, 1.0],
    ),
)
mask_head = dict(
    type="DynamicMaskHead",
    dynamic_conv_cfg=dict(**dynamic_conv, input_feat_shape=14, with_proj=False),
    num_convs=4,
    num_classes=80,
    roi_feat_size=14,
    in_channels=256,
    conv_kernel_size=3,
    conv_out_channels=256,
    class_agnostic=False,
    norm_cfg=dict(type="BN"),
    upsample_cfg=dict(type="deconv", scale_factor=2),
    loss_mask=dict(type="DiceLoss", loss_weight=8.0, use_sigmoid=True, activate=False, eps=1e-5),
)
stage = dict(
    assigner=dict(
        type="HungarianAssigner",
        match_costs=[
            dict(type="FocalLossCost", weight=2.0),
            dict(type="BBoxL1Cost", weight=5.0, box_format="xyxy"),
            dict(type="IoUCost", iou_mode="giou", weight=2.0),
        ],
    ),
    sampler=dict(type="PseudoSampler"),
    pos_weight=1,
    mask_size=28,
)
roi_layer = dict(type="RoIAlign", sampling_ratio=2)
extractor = dict(type="SingleRoIExtractor", out_channels=256, featmap_strides=[4, 8, 16, 32])
model = dict(
    type="QueryInst",
    data_preprocessor=dict(pad_size_divisor=32),
    neck=dict(
        type="FPN",
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        start_level=0,
        add_extra_convs="on_input",
        num_outs=4,
    ),
    rpn_head=dict(
        type="EmbeddingRPNHead", num_proposals=num_proposals, proposal_feature_channel=256
    ),
    roi_head=dict(
        type="SparseRoIHead",
        num_stages=num_stages,
        stage_loss_weights=[1] * num_stages,
        proposal_feature_channel=256,
        bbox_roi_extractor=dict(**extractor, roi_layer=dict(**roi_layer, output_size=7)),
        mask_roi_extractor=dict(**extractor, roi_layer=dict(**roi_layer, output_size=14)),
        bbox_head=[box_head] * num_stages,
        mask_head=[mask_head] * num_stages,
    ),
    train_cfg=dict(rpn=None, rcnn=[stage] * num_stages),
    test_cfg=dict(rpn=None, rcnn=dict(max_per_img=num_proposals, mask_thr_binary=0.5)),
)
