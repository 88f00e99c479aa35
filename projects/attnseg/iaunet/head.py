"""Decoder and predictions of IAUNet: encoder maps in, instances out."""

import logging
from collections.abc import Sequence

import torch
from mmdet.structures import SampleList
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from attnseg.errors import InputError
from attnseg.iaunet.decoder_level import DecoderLevel, LevelMaps, MaskPredictor
from attnseg.iaunet.dual_path import PIXEL_UPDATES, DualPathLayer
from attnseg.iaunet.pixel_decoder import LevelFeatures, PixelDecoderLevel
from attnseg.iaunet.presets import PRESETS
from attnseg.iaunet.structures import MaskPrediction, MaskTruth
from attnseg.registry import MODELS

VARIANTS = ("paper", "code")


@MODELS.register_module()
class IAUNetHead(BaseModule):
    """Pixel decoder, Instance Activation and dual-path transformer decoder over four levels.

    Paper and published code differ. ``variant='paper'`` is the text: no CoordConv, no
    squeeze-and-excite; ``'code'`` has both. ``pixel_update='both'`` is the text (Sec. 6.2);
    the parameters of the published table are those of ``variant='code'`` with ``'instance'``.
    Not carried over from the code: objectness and box layers, which no loss trains, and
    prediction layers at levels where nothing is predicted.

    Args:
        in_channels: of the encoder's four maps, finest first.
        num_classes: K, without "no object".
        num_queries: N, the most objects that an image can get (K times that over classes).
        channels: of mask features, instance features and queries.
        num_heads: heads of all attentions.
        variant: ``paper`` or ``code``.
        pixel_update: pixel features that attend to the queries: ``both``, ``instance``, ``none``.
        preset: ``full`` or ``fast``, see :mod:`attnseg.iaunet.presets`.
        widths: channels of the main features, coarsest first; those of the next encoder map,
            and ``channels`` at the finest level, if None.
        query_ratio: width of the feed-forward on queries over ``channels``.
        layers_per_level: dual-path layers in each level.
        deep_supervision: predict and train at every level (the paper: at the finest only).
        with_cp: compute pixel update and branches again in the backward pass: about half the
            memory of training for a little more time.
        norm_cfg: norm layer of mmcv in the pixel decoder.
        loss: config of the loss on a list of predictions.
        init_cfg: see mmengine's BaseModule.

    Raises:
        ValueError: naming the argument, if it is none of those offered, a count is no whole number
            from 1 on, or the number of maps or widths is not four; from the first ``forward``, if
            the maps have other channels than ``in_channels``.

    Source:
        *IAUNet: Instance-Aware U-Net*, Sec. 3 to 7.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int = 1,
        num_queries: int = 100,
        channels: int = 256,
        num_heads: int = 8,
        variant: str = "paper",
        pixel_update: str = "both",
        preset: str = "full",
        widths: Sequence[int] | None = None,
        query_ratio: float = 8,
        layers_per_level: int = 1,
        deep_supervision: bool = False,
        with_cp: bool = False,
        norm_cfg: dict | None = None,
        loss: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        _check("variant", variant, VARIANTS)
        _check("pixel_update", pixel_update, PIXEL_UPDATES)
        _check("preset", preset, tuple(PRESETS))
        skips = _levels("in_channels", in_channels)[::-1]
        _positive("channels", channels)
        widths = _levels("widths", widths or (*skips[1:], channels))
        for name, value in {
            "num_classes": num_classes,
            "num_queries": num_queries,
            "num_heads": num_heads,
            "layers_per_level": layers_per_level,
        }.items():
            _positive(name, value)
        good = isinstance(query_ratio, (int, float)) and not isinstance(query_ratio, bool)
        if not good or not 1 <= channels * query_ratio < float("inf"):
            raise ValueError(
                f"query_ratio must be a number of at least 1/channels, got {query_ratio!r}"
            )
        cost = PRESETS[preset]
        self.in_channels = tuple(skips[::-1])
        self.num_classes = num_classes
        self.num_queries = num_queries
        self._warned = False
        self.query_pos = nn.Parameter(torch.randn(1, 2 * num_queries, channels))
        self.levels = nn.ModuleList(
            DecoderLevel(
                PixelDecoderLevel(
                    in_channels=widths[index - 1] if index else 0,
                    skip_channels=skip,
                    width=widths[index],
                    channels=channels,
                    with_coords=variant == "code",
                    with_se=variant == "code",
                    full_branches=cost.full_branches[index],
                    norm_cfg=norm_cfg or {"type": "BN"},
                    with_cp=with_cp,
                ),
                channels,
                num_queries,
                [
                    DualPathLayer(
                        channels,
                        num_heads,
                        pixel_hidden=int(channels * cost.pixel_ratio[index]),
                        query_hidden=int(channels * query_ratio),
                        pixel_update=pixel_update,
                        with_cp=with_cp,
                    )
                    for _ in range(layers_per_level)
                ],
            )
            for index, skip in enumerate(skips)
        )
        self.predict_from = 0 if deep_supervision else len(skips) - 1
        self.predictors = nn.ModuleList(
            MaskPredictor(channels, num_classes) for _ in skips[self.predict_from :]
        )
        self.loss_masks = MODELS.build(
            {"num_classes": num_classes, **(loss or {"type": "attnseg.MaskSetLoss"})}
        )

    def forward(
        self, feats: Sequence[Tensor], trace: list[LevelMaps] | None = None
    ) -> list[MaskPrediction]:
        """Predict from four maps, finest first.

        Args:
            feats: (B, C, H, W) each.
            trace: where the maps of each level, coarsest first, are appended, if given.

        Returns:
            Predictions, coarsest level first; the last is the result.

        Raises:
            InputError: The maps do not have the channels of ``in_channels``.
        """
        found = tuple(skip.shape[1] for skip in feats)
        if found != self.in_channels:
            raise InputError(
                f"in_channels={self.in_channels} of the head (model.head.in_channels) do not fit "
                f"the maps of the backbone, which have {found} channels, finest first. Set "
                "in_channels to these; a backbone that gives other levels than four has "
                "out_indices to choose them."
            )
        below: LevelFeatures | None = None
        queries: Tensor | None = None
        predictions = []
        for index, (level, skip) in enumerate(zip(self.levels, reversed(feats), strict=True)):
            below, queries = level(skip, below, queries, self.query_pos, trace)
            if index >= self.predict_from:
                predictor = self.predictors[index - self.predict_from]
                predictions.append(predictor(queries, below.mask))
        return predictions

    def loss(self, feats: Sequence[Tensor], samples: SampleList) -> dict[str, Tensor]:
        """Losses of a batch; each keeps its graph where there is no object at all."""
        predictions = self(feats)
        return self.loss_masks(predictions, [self._truth(s, feats[0].device) for s in samples])

    def _truth(self, sample: object, device: torch.device) -> MaskTruth:
        truth = sample.gt_instances
        masks = truth.masks.to_tensor(torch.bool, device)
        size = tuple(sample.batch_input_shape)
        if tuple(masks.shape[1:]) != size:
            raise ValueError(
                f"masks of image '{sample.get('img_path')}' are {tuple(masks.shape[1:])}, the "
                f"padded batch is {size}: set pad_mask=True in the data_preprocessor."
            )
        if len(masks) > self.num_queries and not self._warned:
            self._warned = True
            print_log(
                f"image '{sample.get('img_path')}' has {len(masks)} objects, the head "
                f"{self.num_queries} queries: the rest cannot be found. Raise num_queries (and "
                "max_per_img in test_cfg).",
                "current",
                logging.WARNING,
            )
        return MaskTruth(truth.labels, masks)


def _check(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} '{value}' is unknown; choose one of {', '.join(choices)}")


def _positive(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number, at least 1, got {value!r}")


def _levels(name: str, values: Sequence[int]) -> list[int]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ValueError(f"{name} must have 4 numbers, one a level, got {values!r}")
    if len(values) != 4:
        raise ValueError(f"{name} must have 4 numbers, one a level, not {len(values)}")
    for value in values:
        _positive(f"each of {name}", value)
    return list(values)
