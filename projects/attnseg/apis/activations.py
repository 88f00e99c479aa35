"""What the queries of IAUNet looked at in one image.

Explainability is a claim of the paper (Sec. 5): each instance comes from a guided query, and each
guided query from an activation map that can be seen.

Example:
    >>> explanation = explain_image(model, inference_pipeline(cfg), "cells.tif")
    >>> draw_explanation(explanation, Path("cells.png"))
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from attnseg.apis.command import UsageError
from attnseg.datasets.mixin import own_loader
from attnseg.engine.config_hash import type_name
from attnseg.engine.display import to_rgb
from attnseg.iaunet import IAUNet
from attnseg.iaunet.postprocess import PostprocessConfig, Selected, select
from attnseg.iaunet.restore import restore
from attnseg.iaunet.structures import MaskPrediction
from attnseg.iaunet.windows import Window

_PERCENTILES = (0.5, 99.5)
_NEED_LABELS = {
    "CheckSample",
    "LoadAnnotations",
    "LoadPanopticAnnotations",
    "LoadPanopticAsSemantic",
    "LoadPanopticMap",
    "SplitPanopticMap",
}


@dataclass(frozen=True)
class ExplainedInstance:
    """An instance and where it comes from.

    Attributes:
        query: number of its query, from 0.
        label: class.
        score: class probability times maskness; where nothing was kept, the class probability.
        mask: (H, W) bool on the picture.
    """

    query: int
    label: int
    score: float
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Explanation:
    """Instances of one image, or of one window of it, and the maps of all queries.

    Attributes:
        name: of the image file.
        picture: (H, W, 3), the input that the network saw, before normalisation and padding; its
            brightness is stretched to the percentiles of the whole input.
        padded_size: (H, W) of the padded input, which the maps cover.
        whole_size: (H, W) of the input of which the picture is a window.
        window: the window, or None if the picture is the whole input.
        instances: best first.
        kept: whether they passed the thresholds of ``test_cfg``; otherwise they are the
            strongest queries.
        score_thr: threshold on scores.
        activations: (N, h, w) of each level, coarsest first; each map sums to 1.
        attention: (N, h, w), cross-attention of the guided queries in the last layer of the
            finest level, mean over heads; each map sums to 1.
    """

    name: str
    picture: NDArray[np.uint8]
    padded_size: tuple[int, int]
    whole_size: tuple[int, int]
    window: Window | None
    instances: list[ExplainedInstance]
    kept: bool
    score_thr: float
    activations: list[NDArray[np.float32]]
    attention: NDArray[np.float32]


def inference_pipeline(cfg: Any) -> Compose:
    """The transforms of a config's test set that need no annotations.

    Raises:
        UsageError: if the config has no test set with a pipeline.
    """
    dataset = (cfg.get("test_dataloader") or {}).get("dataset")
    while isinstance(dataset, Mapping) and "pipeline" not in dataset and "dataset" in dataset:
        dataset = dataset["dataset"]
    if not isinstance(dataset, Mapping) or not dataset.get("pipeline"):
        name = getattr(cfg, "filename", None) or "the config"
        raise UsageError(f"{name} has no test_dataloader.dataset.pipeline to read images.")
    steps = own_loader([dict(step) for step in dataset["pipeline"]])
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mmdet")):
        return Compose([step for step in steps if type_name(step) not in _NEED_LABELS])


@torch.no_grad()
def explain_image(
    model: IAUNet,
    pipeline: Compose,
    path: str | Path,
    window: tuple[int, int] | None = None,
    top: int = 6,
) -> Explanation:
    """Predict an image and keep the maps of each query.

    With ``test_cfg.windows`` and an image larger than a window, one window is explained: maps
    belong to a window. The model should be in eval mode.

    Args:
        model: the detector.
        pipeline: see `inference_pipeline`.
        path: image file.
        window: top and left of the window in the network's input; the central one if None.
        top: queries to give if no instance passes the thresholds.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no image, has other channels than the config says, or the
            window does not lie in it.
    """
    data = pseudo_collate([pipeline({"img_path": str(path)})])
    picture = _brighten(to_rgb(data["inputs"][0].permute(1, 2, 0).cpu().numpy(), bgr=True))
    inputs = model.data_preprocessor(data, False)["inputs"]
    whole = (picture.shape[0], picture.shape[1])
    cfg = model.postprocess
    place = _choose_window(whole, cfg, window)
    if cfg.windows is not None:
        part = place or Window(0, 0, *whole)
        rows, columns = (
            slice(start, start + length) for start, length in zip(part[:2], part[2:], strict=True)
        )
        picture, inputs = picture[rows, columns], inputs[..., rows, columns]
        height, width = cfg.windows.size
        inputs = pad(inputs, (0, width - inputs.shape[3], 0, height - inputs.shape[2]))
    prediction, levels = model.explain(inputs)
    logits = MaskPrediction(*(one[0] for one in prediction))
    padded = (inputs.shape[2], inputs.shape[3])
    selected = select(*logits, cfg)
    kept = len(selected.labels) > 0
    queries = query_numbers(selected, logits) if kept else None
    if not kept:
        selected, queries = _strongest(logits, top)
    shape = picture.shape[:2]
    masks = restore(selected.mask_logits, padded, shape, shape, cfg.mask_thr).cpu().numpy()
    count = logits.class_logits.shape[0]
    return Explanation(
        name=Path(path).name,
        picture=picture,
        padded_size=padded,
        whole_size=whole,
        window=place,
        instances=[
            ExplainedInstance(query, int(label), float(score), mask)
            for query, label, score, mask in zip(
                queries, selected.labels, selected.scores, masks, strict=True
            )
            # What lies in the padding alone is no instance of the image.
            if mask.any() or not kept
        ],
        kept=kept,
        score_thr=cfg.score_thr,
        activations=[level.activation[0].float().cpu().numpy() for level in levels],
        attention=levels[-1].attention[0, :count].float().cpu().numpy(),
    )


def query_numbers(selected: Selected, logits: MaskPrediction) -> list[int]:
    """Which queries the selected instances of one image come from.

    Masks are copied on selection, so that they are found again exactly. Of queries with the same
    mask, the one of the highest class probability is named: the others are its duplicates.

    Args:
        selected: what `select` gives for the logits.
        logits: of one image, (N, K + 1) and (N, h, w).
    """
    probabilities = logits.class_logits.float().softmax(-1)
    masks = logits.mask_logits.float()
    numbers = []
    for label, mask in zip(selected.labels.tolist(), selected.mask_logits, strict=True):
        same = (masks == mask).flatten(1).all(1)
        numbers.append(int(probabilities[:, label].where(same, -1).argmax()))
    return numbers


def _brighten(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Stretch all channels alike, so that dark nuclei beside a bright spot are seen."""
    low, high = np.percentile(picture, _PERCENTILES)
    if high <= low:
        return picture
    return (np.clip((picture - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _strongest(logits: MaskPrediction, top: int) -> tuple[Selected, list[int]]:
    """The queries that are surest of a class, with that probability as score."""
    scores, labels = logits.class_logits.float().softmax(-1)[:, :-1].max(-1)
    queries: Tensor = scores.argsort(descending=True, stable=True)[:top]
    masks = logits.mask_logits[queries].float()
    return Selected(labels[queries], scores[queries], masks), queries.tolist()


def _choose_window(
    size: tuple[int, int], cfg: PostprocessConfig, chosen: Sequence[int] | None
) -> Window | None:
    """The window to explain, or None for the whole of an image that fits into one."""
    if cfg.windows is None:
        if chosen is not None:
            raise ValueError(
                "a window was chosen, but the config predicts whole images (test_cfg.windows is "
                "not set): leave it out"
            )
        return None
    lengths = [min(pair) for pair in zip(size, cfg.windows.size, strict=True)]
    rest = [whole - part for whole, part in zip(size, lengths, strict=True)]
    top, left = (r // 2 for r in rest) if chosen is None else chosen
    if not (0 <= top <= rest[0] and 0 <= left <= rest[1]):
        raise ValueError(
            f"window at top {top}, left {left}: in an input of {size[0]} x {size[1]} pixels "
            f"(height x width) windows of {lengths[0]} x {lengths[1]} start at top 0..{rest[0]}, "
            f"left 0..{rest[1]}"
        )
    return Window(top, left, *lengths) if any(rest) else None
