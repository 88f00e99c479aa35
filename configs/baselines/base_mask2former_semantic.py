# Mask2Former of mmseg, from scratch: the head of our Mask2Former.
_base_ = "./base_mask2former.py"

# Types without a prefix are mmdet's, in a segmentor of mmseg.
detector = _base_.model
head = detector.panoptic_head
head.pop("num_stuff_classes")
head.update(type="mmseg.Mask2FormerHead", _scope_="mmdet", train_cfg=detector.train_cfg)
model = dict(
    _delete_=True,
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        seg_pad_val=255,
        size_divisor=1,
    ),
    backbone=detector.backbone,
    decode_head=head,
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
default_scope = "mmseg"
visualizer = dict(type="SegLocalVisualizer", alpha=0.6)
tta_model = dict(type="SegTTAModel")
del detector, head
