"""CSPAM: ResNet with cross-stage partial structure, Mish and position attention.

The paper gives the names of the parts and a figure. Where it is silent, we follow:

- Cross stage: the first block of a stage, which changes size and channels, stays as it is in
  ResNet, so that ImageNet weights fit it and the stem. The others run on half of the channels, at
  half of their inner width, and a 1x1 convolution merges both halves (CSPNet).
- Position attention stands "between the residual blocks": one module a stage, after the first half
  of the blocks of half width. With one such block it stands before it.
- Stages: C4 and C5. C2 of a street scene of 1200x680 would have 51,000 pixels to compare in pairs.
- Activation: Mish wherever ResNet has a ReLU.
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import build_activation_layer
from mmdet.models.backbones.resnet import ResNet
from mmdet.models.layers import ResLayer
from mmengine.logging import print_log
from mmengine.model import Sequential
from torch import Tensor, nn

from attnseg.cspam_solov2.position_attention import PositionAttentionModule
from attnseg.layers.cross_stage import CrossStage, taken_channels
from attnseg.registry import MODELS


@MODELS.register_module()
class Mish(nn.Mish):
    """``x tanh(softplus(x))``; mmcv has no name for torch's.

    With ``inplace`` the input is overwritten where no gradient is needed, which spares a map. For
    gradients torch would first copy what it overwrites.

    Source:
        Misra, *Mish: A Self Regularized Non-Monotonic Activation Function*.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map of any shape to one of the same shape."""
        return F.mish(x, self.inplace and not (torch.is_grad_enabled() and x.requires_grad))


@MODELS.register_module()
class CSPAMResNet(ResNet):
    """ResNet-18/34/50/101/152 with cross stages, Mish and position attention.

    Drop-in for mmdet's ResNet: the same maps and channels. Names of stem and first blocks
    (``conv1``, ``layer1.0.*``) are ResNet's, so that its ImageNet weights load where they fit;
    ``init_cfg=dict(type='attnseg.AdaptedPretrained', checkpoint='r50.pth')`` logs what did not.
    Everything else is trained from scratch, which is why two usual settings of ResNet are wrong
    with such weights, and are warned of: ``frozen_stages`` above 0 freezes blocks that never
    learned, and ``norm_eval`` (off here) keeps norms at statistics they never saw.

    Args:
        depth: 18, 34, 50, 101 or 152.
        attention_stages: stages with position attention, from 0 (C2) to 3 (C5); none if empty.
        attention: arguments of :class:`PositionAttentionModule` but its channels, such as
            ``scale``.
        ratio: share of the channels that goes through the blocks of a cross stage.
        act_cfg: activation of mmcv in the place of ReLU; Mish if None.
        norm_eval: keep batch norms in eval mode.
        contract_dilation: as in mmseg's ResNet: the first block of a dilated stage has half of the
            dilation.
        pretrained: file for mmengine's ``Pretrained``; as an ``init_cfg`` of that type.
        init_cfg: see mmengine's BaseModule. One that loads a file comes after ResNet's usual
            initialisation, so that what the file lacks has the values of training from scratch.
        **resnet: the other arguments of mmdet's ResNet, but ``dcn``, ``stage_with_dcn`` and
            ``plugins``; mmseg's ``multi_grid`` is unknown.

    Raises:
        ValueError: for an unknown depth or stage, arguments that have no meaning here, channels
            that ``ratio`` splits, or two files to load.

    Source:
        Liu and Kong, *Real-Time Instance Segmentation Method Based on Location Attention*,
        Sec. 2.1, Fig. 2 and 3.
    """

    def __init__(
        self,
        depth: int,
        attention_stages: Sequence[int] = (2, 3),
        attention: Mapping[str, Any] | None = None,
        ratio: float = 0.5,
        act_cfg: dict | None = None,
        norm_eval: bool = False,
        contract_dilation: bool = False,
        pretrained: str | None = None,
        init_cfg: dict | list | None = None,
        **resnet: Any,
    ) -> None:
        _check(depth, attention_stages, resnet)
        _check_loading(pretrained, init_cfg)
        loading = {"type": "Pretrained", "checkpoint": pretrained} if pretrained else None
        if isinstance(init_cfg, Mapping) and "checkpoint" in init_cfg:
            loading, init_cfg = init_cfg, None
        # ResNet makes its stages while it is constructed.
        self.attention_stages = tuple(attention_stages)
        self.attention = dict(attention or {})
        self.ratio = ratio
        self.contract_dilation = contract_dilation
        self.act_cfg = dict(act_cfg or {"type": "attnseg.Mish", "inplace": True})
        super().__init__(depth, norm_eval=norm_eval, init_cfg=init_cfg, **resnet)
        if loading is not None:
            self.init_cfg = [*self.init_cfg, loading]
        _replace_relu(self, self.act_cfg)
        self._warn()

    def train(self, mode: bool = True) -> "CSPAMResNet":
        """Set the mode, but of frozen stages and norms; mmdet's ResNet does not return itself."""
        super().train(mode)
        return self

    def _warn(self) -> None:
        settings = [f"frozen_stages={self.frozen_stages}"] if self.frozen_stages > 0 else []
        settings += ["norm_eval=True"] if self.norm_eval else []
        if settings:
            print_log(
                f"CSPAMResNet with {' and '.join(settings)}: ResNet's weights do not fit its cross "
                "stages, which stay as initialised there. Right only for weights of CSPAMResNet; "
                "else set frozen_stages to 0 or -1, and norm_eval=False.",
                "current",
                logging.WARNING,
            )

    def make_res_layer(self, **kwargs: Any) -> Sequential:
        """A stage: its first block, then a cross stage over the others."""
        stage, count = len(self.res_layers), kwargs.pop("num_blocks")
        dilation = kwargs["dilation"]
        if self.contract_dilation and dilation > 1:
            kwargs["dilation"] = dilation // 2
        first = ResLayer(num_blocks=1, **kwargs)[0]
        kwargs["dilation"] = dilation
        planes = taken_channels(kwargs["planes"], self.ratio)
        channels = kwargs["planes"] * self.block.expansion
        kwargs.update(inplanes=planes * self.block.expansion, planes=planes, stride=1)
        blocks = list(ResLayer(num_blocks=count - 1, **kwargs))
        named = [(str(i), block) for i, block in enumerate(blocks)]
        if stage in self.attention_stages:
            # Under a name of its own, so that blocks have the same names with and without it.
            module = PositionAttentionModule(kwargs["inplanes"], **self.attention)
            named.insert((count - 1) // 2, ("attention", module))
        cross = CrossStage(
            Sequential(OrderedDict(named)),
            channels,
            self.ratio,
            kwargs["conv_cfg"],
            kwargs["norm_cfg"],
            self.act_cfg,
        )
        return Sequential(first, cross)


def _check(depth: int, stages: Sequence[int], resnet: Mapping[str, Any]) -> None:
    if depth not in ResNet.arch_settings:
        raise ValueError(
            f"depth {depth} of CSPAMResNet is unknown; choose from {sorted(ResNet.arch_settings)}"
        )
    for name in ("dcn", "plugins", "multi_grid"):
        if resnet.get(name) is not None:
            raise ValueError(
                f"CSPAMResNet has no {name}: leave it out (_delete_=True drops the keys of a base "
                "config), or use mmdet's ResNet, whose plugins may be of type "
                "'attnseg.PositionAttentionModule'"
            )
    count = resnet.get("num_stages", 4)
    if not set(stages) <= set(range(count)):
        raise ValueError(
            f"attention_stages {tuple(stages)} of CSPAMResNet must lie in 0..{count - 1}, since "
            f"num_stages is {count}; C4 and C5 are 2 and 3"
        )


def _check_loading(pretrained: str | None, init_cfg: dict | list | None) -> None:
    parts = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    files = [part["checkpoint"] for part in parts if part and "checkpoint" in part]
    if pretrained and files:
        raise ValueError(
            f"CSPAMResNet got pretrained={pretrained!r} beside an init_cfg with the checkpoint "
            f"{files[0]!r}: give one of them"
        )


def _replace_relu(module: nn.Module, act_cfg: dict) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU):
            setattr(module, name, build_activation_layer(act_cfg))
        else:
            _replace_relu(child, act_cfg)
