"""SOLOv2's head with exchangeable mask features and the adaptive minimum loss.

Layers, parameter names and predictions are those of mmdet's ``SOLOV2Head``, so that published
SOLOv2 weights load. What is new: the mask feature head comes from the registry, targets are
assigned for the whole batch at once, and the loss sees all candidates of a cell.
"""

import difflib
import inspect
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import SOLOHead, SOLOV2Head
from mmdet.models.dense_heads.solov2_head import MaskFeatModule
from mmdet.models.utils import generate_coordinate
from mmdet.structures import SampleList
from mmengine.structures import InstanceData
from torch import Tensor

from attnseg.cspam_solov2.postprocess import PostprocessConfig, find_instances, local_maxima
from attnseg.cspam_solov2.targets import Targets, batch_targets, image_of_objects
from attnseg.errors import InputError
from attnseg.registry import MODELS

_INIT = [
    {"type": "Normal", "layer": "Conv2d", "std": 0.01},
    {"type": "Normal", "std": 0.01, "bias_prob": 0.01, "override": {"name": "conv_cls"}},
]
_NORM = {"type": "GN", "num_groups": 32, "requires_grad": True}


@MODELS.register_module()
class AdaptiveSOLOv2Head(SOLOV2Head):
    """Grids of kernels and classes over several levels, and one map of mask features.

    Takes as many maps as the levels or more: the grids use the first ones, the mask feature head
    gets them all.

    Args:
        num_classes: without background.
        in_channels: of all maps.
        mask_feature_head: config of a module that gives (B, ``out_channels``, h, w) from the tuple
            of maps and has ``mask_stride``; mmdet's MaskFeatModule without a ``type``.
            ``in_channels`` is set to that of the head.
        feat_channels: of the stacked convolutions.
        stacked_convs: in each of the two branches.
        strides: pixels that a mask must have, at the stride of the mask features, to be kept; one
            for each level.
        scale_ranges: pixels of an object, the root of its box's area, from and to; one pair for
            each level.
        pos_scale: side of the centre region over that of the box.
        num_grids: cells of a side, one number for each level.
        loss: config of the loss.
        norm_cfg: of the stacked convolutions.
        dcn_cfg: deformable convolutions as in mmdet; needs mmcv's compiled operators.
        dcn_apply_to_all_conv: in all stacked convolutions or the last alone.
        dynamic_conv_size: 1; only there for configs of mmdet.
        train_cfg: unused, detectors hand it over.
        test_cfg: see `postprocess.PostprocessConfig`.
        init_cfg: see mmengine's BaseModule.

    Raises:
        ValueError: naming the key, if ``loss_mask`` or ``loss_cls`` is given, the numbers of levels
            differ, a range is empty, or mask features and kernels cannot be multiplied.

    Source:
        Wang et al., *SOLOv2*; Liu and Kong, *Real-Time Instance Segmentation Method Based on
        Location Attention*, Sec. 2.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        mask_feature_head: dict,
        feat_channels: int = 256,
        stacked_convs: int = 4,
        strides: Sequence[int] = (8, 8, 16, 32, 32),
        scale_ranges: Sequence[Sequence[float]] = (
            (1, 96),
            (48, 192),
            (96, 384),
            (192, 768),
            (384, 2048),
        ),
        pos_scale: float = 0.2,
        num_grids: Sequence[int] = (40, 36, 24, 16, 12),
        loss: dict | None = None,
        norm_cfg: dict | None = _NORM,
        dcn_cfg: dict | None = None,
        dcn_apply_to_all_conv: bool = True,
        dynamic_conv_size: int = 1,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | list | None = _INIT,
        **moved: Any,
    ) -> None:
        _check_keys(moved)
        _check_levels(num_grids, scale_ranges, strides)
        if dynamic_conv_size != 1:
            raise ValueError(
                f"dynamic_conv_size must be 1, got {dynamic_conv_size!r}: larger kernels do not "
                "fit the targets, in mmdet neither."
            )
        self.dcn_cfg = dcn_cfg
        self.with_dcn = dcn_cfg is not None
        self.dcn_apply_to_all_conv = dcn_apply_to_all_conv
        self.dynamic_conv_size = 1
        mask_cfg = {"type": MaskFeatModule, **mask_feature_head, "in_channels": in_channels}
        if not isinstance(mask_cfg.get("out_channels"), int):
            raise ValueError(
                "mask_feature_head must have out_channels, a whole number: the kernels have as many"
            )
        self.kernel_out_channels = mask_cfg["out_channels"]
        # Not SOLOV2Head's own, which builds mask features of one fixed class.
        SOLOHead.__init__(
            self,
            num_classes,
            in_channels,
            feat_channels=feat_channels,
            stacked_convs=stacked_convs,
            strides=tuple(strides),
            scale_ranges=tuple(tuple(pair) for pair in scale_ranges),
            pos_scale=pos_scale,
            num_grids=list(num_grids),
            norm_cfg=norm_cfg,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            init_cfg=init_cfg,
        )
        del self.loss_mask, self.loss_cls
        self.mask_feature_head = MODELS.build(mask_cfg)
        self.mask_stride = self.mask_feature_head.mask_stride
        self.loss_masks = MODELS.build(loss or {"type": "attnseg.AdaptiveMinimumLoss"})
        if test_cfg is not None:
            PostprocessConfig.from_dict(test_cfg)

    def forward(self, x: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Predict kernels, classes and mask features.

        Args:
            x: (B, C, H, W) each, finest first, at least one for each level.

        Returns:
            Kernels (B, E, g, g) and class logits (B, K, g, g) of each level with its grid g, and
            mask features (B, E, h, w).

        Raises:
            InputError: There are fewer maps than levels.
        """
        if len(x) < self.num_levels:
            raise InputError(
                f"the head has {self.num_levels} levels (num_grids), the neck gives {len(x)} maps: "
                "set num_outs of the neck, or shorten num_grids, scale_ranges and strides."
            )
        top = getattr(self.mask_feature_head, "top_index", 0)
        if top < 0 and len(x) + top < self.num_levels:
            raise InputError(
                f"the neck gives {len(x)} maps, and top_index={top} of mask_feature_head means one "
                f"of the {self.num_levels} that the grids use: raise num_outs of the neck to "
                f"{self.num_levels}, to which with_top=True adds P5."
            )
        mask_feats = self.mask_feature_head(tuple(x))
        kernels, classes = [], []
        for feat, grid in zip(self.resize_feats(x[: self.num_levels]), self.num_grids, strict=True):
            feat = torch.cat([feat, generate_coordinate(feat.size(), feat.device)], 1)
            kernel = F.interpolate(feat, size=grid, mode="bilinear", align_corners=False)
            cate = kernel[:, :-2].contiguous()
            for layer in self.kernel_convs:
                kernel = layer(kernel)
            for layer in self.cls_convs:
                cate = layer(cate)
            kernels.append(self.conv_kernel(kernel))
            classes.append(self.conv_cls(cate))
        return kernels, classes, mask_feats

    def loss(self, x: Sequence[Tensor], batch_data_samples: SampleList, **_: Any) -> dict:
        """Losses of a batch; masks need no padding, and samples stay as they are."""
        return self.loss_by_feat(
            *self(x),
            [sample.gt_instances for sample in batch_data_samples],
            [sample.metainfo for sample in batch_data_samples],
        )

    def loss_by_feat(
        self,
        mlvl_kernel_preds: list[Tensor],
        mlvl_cls_preds: list[Tensor],
        mask_feats: Tensor,
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        **_: Any,
    ) -> dict[str, Tensor]:
        """Compute the losses of what ``forward`` gave.

        Crowd regions are no objects: datasets hand them over as ``ignored_instances``, and their
        cells are background, as in SOLOv2.

        Args:
            mlvl_kernel_preds: see ``forward``.
            mlvl_cls_preds: see ``forward``.
            mask_feats: see ``forward``.
            batch_gt_instances: see `targets.batch_targets`.
            batch_img_metas: ``img_path`` is shown in errors.

        Returns:
            ``loss_mask`` and ``loss_cls``.

        Raises:
            ValueError: for a label outside the classes or masks larger than the batch.
        """
        size = tuple(mask_feats.shape[-2:])
        self._check_stride(size, batch_img_metas)
        targets = self.get_targets(batch_gt_instances, batch_img_metas, size)
        return self.loss_masks(
            _by_cell(mlvl_cls_preds),
            _by_cell(mlvl_kernel_preds),
            mask_feats,
            *(part.to(mask_feats.device) for part in targets),
        )

    def get_targets(
        self,
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        size: tuple[int, int],
    ) -> Targets:
        """Assign the cells of a batch, see ``loss_by_feat``; ``size`` is (h, w) of the maps."""
        targets = batch_targets(
            batch_gt_instances,
            size,
            self.mask_stride,
            self.num_grids,
            self.scale_ranges,
            self.pos_scale,
        )
        # Here they are on the CPU, in any case.
        outside = (targets.labels < 0) | (targets.labels >= self.num_classes)
        if outside.any():
            wrong = int(targets.labels[outside][0])
            image = int(image_of_objects(batch_gt_instances)[outside][0])
            raise InputError(
                f"label {wrong} of image '{batch_img_metas[image].get('img_path')}' is outside 0 "
                f"to {self.num_classes - 1}: set num_classes of the head to the data set's."
            )
        return targets

    def _check_stride(self, size: tuple[int, int], metas: list[dict]) -> None:
        """Sizes that are no multiples of the stride may have been rounded, either way."""
        for meta in metas:
            whole = meta.get("batch_input_shape", ())
            if any(
                abs(s * self.mask_stride - w) >= self.mask_stride
                for s, w in zip(size, whole, strict=False)
            ):
                raise InputError(
                    f"mask features of {size[0]}x{size[1]} times mask_stride={self.mask_stride} of "
                    f"mask_feature_head are not the input's {whole[0]}x{whole[1]}: set mask_stride "
                    f"to {round(whole[0] / size[0])}, the stride of their finest level."
                )

    def predict_by_feat(
        self,
        mlvl_kernel_preds: list[Tensor],
        mlvl_cls_scores: list[Tensor],
        mask_feats: Tensor,
        batch_img_metas: list[dict],
        **_: Any,
    ) -> list[InstanceData]:
        """Make instances of what ``forward`` gave, see `postprocess.find_instances`."""
        cfg = PostprocessConfig.from_dict(self.test_cfg or {})
        self._check_stride(tuple(mask_feats.shape[-2:]), batch_img_metas)
        scores = _by_cell([local_maxima(logits.sigmoid()) for logits in mlvl_cls_scores])
        kernels = _by_cell(mlvl_kernel_preds)
        strides = torch.tensor(self.strides, device=kernels.device, dtype=torch.float32)
        cells = torch.tensor(self.num_grids, device=kernels.device).square()
        strides = strides.repeat_interleave(cells)
        return [
            find_instances(
                kernels[index],
                scores[index],
                mask_feats[index],
                strides,
                self.mask_stride,
                meta["img_shape"][:2],
                meta["ori_shape"][:2],
                cfg,
            )
            for index, meta in enumerate(batch_img_metas)
        ]


def _by_cell(levels: list[Tensor]) -> Tensor:
    """Put maps (B, C, g, g) of all levels into rows (B, cells, C)."""
    return torch.cat([level.flatten(2) for level in levels], 2).transpose(1, 2)


def _check_keys(moved: dict) -> None:
    old = sorted({"loss_mask", "loss_cls"} & set(moved))
    if old:
        raise ValueError(
            f"{' and '.join(old)} moved into loss: write loss=dict(type='attnseg."
            "AdaptiveMinimumLoss', mask_weight=3, class_weight=1, gamma=2, alpha=0.25); with "
            "minimum=False, centroid=False, dice='squared' it is SOLOv2's. Over a config that has "
            "the old keys, write the whole mask_head anew, with _delete_=True."
        )
    # SOLO's own key, which has no effect in SOLOv2 but stands in configs.
    unknown = sorted(set(moved) - {"cls_down_index"})
    if unknown:
        known = set(inspect.signature(AdaptiveSOLOv2Head).parameters) - {"moved"}
        near = {key: difflib.get_close_matches(key, known, n=1) for key in unknown}
        fixes = [
            f"no key '{key}': " + (f"write '{found[0]}'" if found else "leave it out")
            for key, found in near.items()
        ]
        raise ValueError(f"AdaptiveSOLOv2Head has {'; '.join(fixes)}")


def _check_levels(
    num_grids: Sequence[int], scale_ranges: Sequence[Sequence[float]], strides: Sequence[int]
) -> None:
    counts = {
        "num_grids": len(num_grids),
        "scale_ranges": len(scale_ranges),
        "strides": len(strides),
    }
    if len(set(counts.values())) != 1 or not num_grids:
        found = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise ValueError(
            f"levels of AdaptiveSOLOv2Head differ: {found}; give one of each for every level"
        )
    for pair in scale_ranges:
        if len(pair) != 2 or not pair[0] <= pair[1]:
            raise ValueError(f"scale_ranges must have pairs (from, to) in pixels, got {pair!r}")
    for grid in num_grids:
        if not isinstance(grid, int) or isinstance(grid, bool) or grid < 1:
            raise ValueError(f"num_grids must be whole numbers, at least 1, got {grid!r}")
