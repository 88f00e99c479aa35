"""Classes that a config in JSON may name: ours, and those of the stack that our configs use.

A test reads the code of each foreign one and refuses what evaluates text, unpickles, removes files
or reads further configs.
"""

from functools import cache
from typing import Any

SCOPES = ("mmengine", "mmcv", "mmdet", "mmseg", "attnseg")

_FOREIGN = """
    Adam AdamW AspectRatioBatchSampler CheckpointHook CosineAnnealingLR DefaultSampler
    DistSamplerSeedHook EarlyStoppingHook EpochBasedTrainLoop InfiniteSampler IterBasedTrainLoop
    IterTimerHook LinearLR LocalVisBackend LogProcessor LoggerHook MultiStepLR NumClassCheckHook
    OptimWrapper ParamSchedulerHook PolyLR SGD TestLoop ValLoop

    DetDataPreprocessor DetLocalVisualizer LoadAnnotations LoadImageFromFile PackDetInputs
    PackSegInputs PhotoMetricDistortion RandomFlip Resize SegDataPreProcessor SegLocalVisualizer

    EncoderDecoder Mask2Former MaskFormer MaskRCNN MaskScoringRCNN PointRend QueryInst SOLOv2
    SegTTAModel YOLACT

    MAE MixVisionTransformer ResNet ResNetV1c SwinTransformer UNet VisionTransformer FPN
    Feature2Pyramid MSDeformAttnPixelDecoder MultiLevelNeck PAFPN TransformerEncoderPixelDecoder

    CoarseMaskHead DIIHead DepthwiseSeparableASPPHead DynamicConv DynamicMaskHead
    EmbeddingRPNHead FCNHead FCNMaskHead GenericRoIExtractor Mask2FormerHead
    MaskFormerFusionHead MaskFormerHead MaskIoUHead MaskPointHead MaskScoringRoIHead RPNHead
    SOLOV2Head SegformerHead Shared2FCBBoxHead SimpleRoIAlign SingleRoIExtractor SparseRoIHead
    StandardRoIHead UPerHead YOLACTHead YOLACTProtonet

    CrossEntropyLoss DiceLoss FocalLoss GIoULoss L1Loss SmoothL1Loss BBoxL1Cost
    ClassificationCost CrossEntropyLossCost DiceCost FocalLossCost IoUCost AnchorGenerator
    DeltaXYWHBBoxCoder HungarianAssigner MaskPseudoSampler MaxIoUAssigner PseudoSampler
    RandomSampler

    BN GELU GN InterpConv LN ReLU RoIAlign SyncBN Sigmoid deconv nms soft_nms

    Caffe2Xavier Constant Kaiming Normal Pretrained TruncNormal Uniform Xavier
"""
FOREIGN = frozenset(_FOREIGN.split())


def is_allowed(name: Any) -> bool:
    """Whether a config in JSON may name this class, with or without the prefix of its scope."""
    if not isinstance(name, str):
        return False
    scope, _, own = name.rpartition(".")
    if scope == "attnseg":
        return own in _ours()
    return (not scope or scope in SCOPES) and own in FOREIGN


@cache
def _ours() -> frozenset[str]:
    from mmengine.registry import Registry

    from attnseg import registry

    names: set[str] = set()
    for value in vars(registry).values():
        if isinstance(value, Registry) and value.scope == "attnseg":
            value.import_from_location()
            names |= set(value.module_dict)
    return frozenset(names)
