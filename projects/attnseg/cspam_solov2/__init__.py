"""CSPAM-SOLOv2: SOLOv2 for street scenes with position attention."""

import attnseg.registry  # noqa: F401  (sets the stack up before mmdet's models are imported)
from attnseg.cspam_solov2.backbone import CSPAMResNet
from attnseg.cspam_solov2.head import AdaptiveSOLOv2Head
from attnseg.cspam_solov2.mask_features import CSMF
from attnseg.cspam_solov2.neck import TWFPN
from attnseg.cspam_solov2.position_attention import PositionAttentionModule

__all__ = ["CSMF", "TWFPN", "AdaptiveSOLOv2Head", "CSPAMResNet", "PositionAttentionModule"]
