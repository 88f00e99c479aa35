"""Predictions of one image at its final size, from logits and embeddings."""

from dataclasses import dataclass, fields

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from attnseg.maskattn_unet import grouping


@dataclass(frozen=True)
class AssemblyConfig:
    """How pixels become instances and segments.

    Attributes:
        method: ``embedding`` (clustering) or ``components`` (connected components).
        similarity: least cosine to an instance's prototype, in (-1, 1).
        connected: instances are 8-connected, as cells are.
        min_area: pixels of the smallest instance, at the network's size.
        cohesion_radius: window of the local cohesion, in pixels at the network's size.
        max_per_img: instances kept, best first.
        score_thr: least score of an instance.
        panoptic_score_thr: least score of an instance in the panoptic map.
        stuff_area: smaller stuff segments become void, in pixels at the final size (COCO: 4096).
    """

    method: str = "embedding"
    similarity: float = 0.7
    connected: bool = False
    min_area: int = 4
    cohesion_radius: int = 1
    max_per_img: int = 100
    score_thr: float = 0.0
    panoptic_score_thr: float = 0.0
    stuff_area: int = 4096

    def __post_init__(self) -> None:
        if self.method not in ("embedding", "components"):
            raise ValueError(
                f"method '{self.method}' is unknown; choose 'embedding' or 'components'"
            )
        if not -1 < self.similarity < 1:
            raise ValueError(f"similarity must lie between -1 and 1, got {self.similarity}")
        for name in ("min_area", "max_per_img", "cohesion_radius"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @classmethod
    def from_dict(cls, values: dict | None) -> "AssemblyConfig":
        """Build from a detector's ``test_cfg``.

        Raises:
            ValueError: for a key that is none of the attributes, or a value out of range.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values or {}) - set(known))
        if unknown:
            raise ValueError(f"test_cfg has unknown keys {unknown}; known are {known}")
        return cls(**(values or {}))


@dataclass
class Assembly:
    """Result for one image of size (H, W).

    Attributes:
        semantic: class of each pixel (H, W); with task ``instance`` the background is
            ``num_things``.
        instances: ids (H, W), -1 for none; id i has ``labels[i]`` and ``scores[i]``.
        labels: (n,) thing classes, best score first.
        scores: (n,) in [0, 1].
        boxes: (n, 4) as x1, y1, x2, y2.
    """

    semantic: NDArray[np.int64]
    instances: NDArray[np.int64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]

    def masks(self) -> NDArray[np.bool_]:
        """Instance masks (n, H, W)."""
        return self.instances[None] == np.arange(len(self.labels))[:, None, None]


def assemble(
    logits: Tensor,
    embedding: Tensor,
    size: tuple[int, int],
    num_things: int,
    config: AssemblyConfig,
) -> Assembly:
    """Group the pixels of one image.

    Instances are found at the network's size; the class borders come from the logits enlarged
    to the final size.

    Args:
        logits: (K, h, w), without padding.
        embedding: unit vectors (D, h, w).
        size: final (H, W).
        num_things: number of thing classes, which come first.
        config: thresholds.
    """
    logits, embedding = logits.detach(), embedding.detach()
    probability, classes = (t.cpu().numpy() for t in logits.softmax(0).max(0))
    vectors = embedding.cpu().numpy()
    if config.method == "components":
        instances = grouping.connected_components(classes, num_things)
    else:
        instances = grouping.cluster_embeddings(
            vectors,
            classes,
            probability,
            num_things,
            config.similarity,
            config.min_area,
            config.connected,
            config.cohesion_radius,
        )
    use = vectors if config.method == "embedding" else None
    labels, scores, areas = grouping.score_instances(instances, classes, probability, use)
    wanted = (areas >= config.min_area) & (scores >= config.score_thr)
    large = F.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0]
    semantic = large.argmax(0).cpu().numpy()
    scale = max(size[0] / classes.shape[0], size[1] / classes.shape[1])
    instances = grouping.enlarge_instances(instances, labels, semantic, reach=2 * scale)
    present = np.bincount(instances[instances >= 0], minlength=len(labels)) > 0
    order = np.argsort(-scores, kind="stable")
    order = order[(wanted & present)[order]][: config.max_per_img]
    rank = np.full(len(labels) + 1, grouping.NONE)
    rank[order] = np.arange(len(order))
    instances = rank[instances]
    return Assembly(
        semantic, instances, labels[order], scores[order].astype(np.float32), _boxes(instances)
    )


def _boxes(instances: NDArray[np.int64]) -> NDArray[np.float32]:
    windows = ndimage.find_objects(instances + 1)
    boxes = [(w[1].start, w[0].start, w[1].stop, w[0].stop) for w in windows if w is not None]
    return np.array(boxes, dtype=np.float32).reshape(-1, 4)


def merge_panoptic(
    result: Assembly, num_things: int, num_classes: int, config: AssemblyConfig, offset: int
) -> NDArray[np.int64]:
    """Panoptic map (H, W) after the COCO convention.

    A thing pixel holds label + offset x (1 + rank), a stuff pixel its label, void
    ``num_classes``: thing pixels without instance, and stuff segments under
    ``config.stuff_area``.
    """
    panoptic = np.full(result.semantic.shape, num_classes, dtype=np.int64)
    stuff = result.semantic >= num_things
    areas = np.bincount(result.semantic.ravel(), minlength=num_classes)
    stuff &= areas[result.semantic] >= config.stuff_area
    panoptic[stuff] = result.semantic[stuff]
    keep = np.append(result.scores >= config.panoptic_score_thr, False)
    thing = keep[result.instances]
    ids = result.instances[thing]
    panoptic[thing] = result.labels[ids] + offset * (ids + 1)
    return panoptic
