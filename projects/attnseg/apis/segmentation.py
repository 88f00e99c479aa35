"""What a model found in one image, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mmengine.structures import BaseDataElement
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from torch import nn

from attnseg.evaluation.classes import thing_flags
from attnseg.evaluation.masks import encode_masks
from attnseg.evaluation.predictions import class_map, find_void, split_panoptic
from attnseg.rle import decode_mask

Rle = dict[str, Any]
Map = NDArray[np.int32]


@dataclass(frozen=True)
class Instance:
    """An object.

    Attributes:
        label: Position of its class.
        class_name: Its name.
        score: 0..1; 1 for a refined mask, which has none.
        rle: Its mask as COCO's compressed RLE, ``counts`` as text.
    """

    label: int
    class_name: str
    score: float
    rle: Rle

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The mask (H, W), decoded anew at each call."""
        return decode_mask(self.rle)

    @property
    def box(self) -> list[float]:
        """Smallest box around the mask: COCO's x, y, width, height in pixels."""
        return [float(v) for v in coco_mask.toBbox(self.rle)]


@dataclass(frozen=True)
class Segment:
    """A part of a panoptic map.

    Attributes:
        id: Its value in the map.
        label: Position of its class.
        class_name: Its name.
        is_thing: Whether it is one object, rather than all of a kind.
        area: Pixels.
    """

    id: int
    label: int
    class_name: str
    is_thing: bool
    area: int


@dataclass(frozen=True)
class Segmentation:
    """What a model found in an image, at the image's own size; None for what it does not predict.

    Attributes:
        name: Of the file, below the folder that was given; a number for an array.
        image: (H, W, 3), RGB as the model read it, for pictures; black where it could not.
        classes: Names in the order of the labels.
        semantic: Labels (H, W); the number of classes where there is none.
        instances: Objects, best first.
        panoptic: Ids (H, W) of the segments; 0 where there is none.
        segments: Of the panoptic map.
        error: Why the image could not be done; None if it could. Given only for one of several:
            then all else is empty.
    """

    name: str
    image: NDArray[np.uint8] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    semantic: Map | None = field(default=None, repr=False)
    instances: tuple[Instance, ...] | None = field(default=None, repr=False)
    panoptic: Map | None = field(default=None, repr=False)
    segments: tuple[Segment, ...] | None = field(default=None, repr=False)
    error: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]

    def overlay(self) -> NDArray[np.uint8]:
        """Draw it; see :func:`~attnseg.apis.overlay.draw_overlay`."""
        from attnseg.apis.overlay import draw_overlay

        return draw_overlay(self)


def failed(name: str, error: str) -> Segmentation:
    """What stands for an image that could not be done."""
    return Segmentation(name, np.zeros((0, 0, 3), np.uint8), (), error=error)


@dataclass(frozen=True)
class ClassList:
    """The classes of a model.

    Attributes:
        names: In the order of the labels.
        things: One flag each.
    """

    names: tuple[str, ...]
    things: tuple[bool, ...]


def classes_of(model: nn.Module) -> ClassList:
    """Names from ``model.dataset_meta``, or numbers where it has none for the model's classes."""
    meta: Mapping[str, Any] = getattr(model, "dataset_meta", None) or {}
    names = meta.get("classes")
    counts = _numbers(model, "num_classes")
    if isinstance(names, str) or names is None or (counts and len(names) not in counts):
        names, meta = [f"class {label}" for label in range(next(iter(counts), 0))], {}
    if "thing_classes" in meta:
        return ClassList(tuple(names), tuple(thing_flags(names, meta)))
    things = next(iter(_numbers(model, "num_things", "num_things_classes")), len(names))
    return ClassList(tuple(names), tuple(label < things for label in range(len(names))))


def _numbers(model: nn.Module, *attributes: str) -> list[int]:
    """What the modules have for attributes; boxes are proposed without classes."""
    values = (
        getattr(module, attribute, None)
        for name, module in model.named_modules()
        if not name.endswith("rpn_head")
        for attribute in attributes
    )
    return [value for value in values if isinstance(value, int) and value > 0]


def to_segmentation(
    sample: BaseDataElement,
    name: str,
    image: NDArray[np.uint8],
    classes: ClassList,
    score_thr: float,
) -> Segmentation:
    """Make plain values of a prediction of mmdet or mmseg.

    Args:
        sample: With ``pred_sem_seg``, ``pred_instances`` or ``pred_panoptic_seg``.
        name: Of the image.
        image: RGB (H, W, 3) at its own size.
        classes: Of the model.
        score_thr: Objects of a lower score, and those of an empty mask, are left out.

    Raises:
        ValueError: There is no mask in it, it has another size, or a label that is no class.
    """
    values = {**sample.to_dict(), "img_path": name}
    count = len(classes.names)
    semantic = class_map(values, "pred_sem_seg")
    panoptic = class_map(values, "pred_panoptic_seg")
    segments, instances = None, None
    if semantic is not None:
        void = find_void(semantic, count, values, "pred_sem_seg")
        semantic = np.where(void, count, semantic).astype(np.int32)
    if panoptic is not None:
        labels, void = split_panoptic(panoptic, count, values)
        panoptic = np.where(void, 0, panoptic.astype(np.int64) + 1).astype(np.int32)
        segments = _segments(panoptic, np.where(void, count, labels), classes)
    found = values.get("pred_instances")
    if found is not None and "masks" in found:
        instances = _instances(sample.pred_instances, name, image.shape[:2], classes, score_thr)
    if semantic is None and panoptic is None and instances is None:
        raise ValueError(f"the model predicts no masks of '{name}': only boxes, or nothing.")
    return Segmentation(name, image, classes.names, semantic, instances, panoptic, segments)


def _instances(
    found: Any, name: str, size: Sequence[int], classes: ClassList, score_thr: float
) -> tuple[Instance, ...]:
    scores = found.scores.float().cpu().numpy()
    if not np.isfinite(scores).all():
        raise ValueError(f"scores of '{name}' are NaN or infinite: the weights have diverged.")
    order = [i for i in np.argsort(-scores, kind="stable").tolist() if scores[i] >= score_thr]
    labels = found.labels.cpu().tolist()
    masks = [found.masks[i] for i in order]
    kept = []
    for i, mask in zip(order, masks, strict=True):
        single = [mask] if isinstance(mask, Mapping) else mask[None]
        rle = to_text(encode_masks(single, (int(size[0]), int(size[1])), f"image '{name}'")[0])
        if coco_mask.area(rle):
            kept.append(Instance(labels[i], _name(classes, labels[i]), float(scores[i]), rle))
    return tuple(kept)


def _segments(panoptic: Map, labels: NDArray[Any], classes: ClassList) -> tuple[Segment, ...]:
    ids, first, areas = np.unique(panoptic, return_index=True, return_counts=True)
    return tuple(
        Segment(int(id_), label, classes.names[label], classes.things[label], int(area))
        for id_, label, area in zip(ids, labels.ravel()[first].tolist(), areas, strict=True)
        if id_
    )


def _name(classes: ClassList, label: int) -> str:
    if not 0 <= label < len(classes.names):
        raise ValueError(
            f"the model predicts label {label}, but has {len(classes.names)} classes: do the "
            "config and the weights have the same ones?"
        )
    return classes.names[label]


def to_text(rle: Mapping[str, Any]) -> Rle:
    """An RLE that JSON can hold."""
    counts = rle["counts"]
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    return {"size": [int(v) for v in rle["size"]], "counts": text}
