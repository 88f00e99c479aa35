# MaskFormer-R50 of mmdet, from scratch; the parts that differ from our Mask2Former.
# mmdet has it only as a whole config, with data and schedule that no leaf could replace.
_base_ = "./base_mask2former.py"

relu = dict(type="ReLU", inplace=True)
attention = dict(embed_dims=256, num_heads=8, dropout=0.1, batch_first=True)
ffn = dict(embed_dims=256, feedforward_channels=2048, num_fcs=2, ffn_drop=0.1, act_cfg=relu)
position = dict(num_feats=128, normalize=True)
model = dict(
    type="MaskFormer",
    data_preprocessor=dict(pad_size_divisor=1),
    panoptic_head=dict(
        _delete_=True,
        type="MaskFormerHead",
        in_channels=[256, 512, 1024, 2048],
        feat_channels=256,
        out_channels=256,
        num_stuff_classes=0,
        num_queries=_base_.num_queries,
        pixel_decoder=dict(
            type="TransformerEncoderPixelDecoder",
            norm_cfg=dict(type="GN", num_groups=32),
            act_cfg=dict(type="ReLU"),
            encoder=dict(num_layers=6, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn)),
            positional_encoding=position,
        ),
        enforce_decoder_input_project=False,
        positional_encoding=position,
        transformer_decoder=dict(
            num_layers=6,
            layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=ffn),
            return_intermediate=True,
        ),
        # A leaf adds class_weight: 1 for each class and 0.1 for "no object".
        loss_cls=dict(
            type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0, reduction="mean"
        ),
        loss_mask=dict(
            type="FocalLoss",
            use_sigmoid=True,
            gamma=2.0,
            alpha=0.25,
            reduction="mean",
            loss_weight=20.0,
        ),
        loss_dice=dict(
            type="DiceLoss",
            use_sigmoid=True,
            activate=True,
            reduction="mean",
            naive_dice=True,
            eps=1.0,
            loss_weight=1.0,
        ),
    ),
    train_cfg=dict(
        _delete_=True,
        assigner=dict(
            type="HungarianAssigner",
            match_costs=[
                dict(type="ClassificationCost", weight=1.0),
                dict(type="FocalLossCost", weight=20.0, binary_input=True),
                dict(type="DiceCost", weight=1.0, pred_act=True, eps=1.0),
            ],
        ),
        sampler=dict(type="MaskPseudoSampler"),
    ),
    test_cfg=dict(object_mask_thr=0.8, filter_low_score=False),
)
