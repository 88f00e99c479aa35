"""Instances of an image from the instances of its overlapping windows.

A window sees badly what its border cuts, and every place is seen deep inside by some window. With
*depth* as the distance of a pixel from those sides of a window at which the image goes on:

1. A piece that comes nowhere deeper than 3/8 of the overlap is dropped; a neighbour sees its
   place deeper.
2. Two windows are compared in the part of their overlap that is deeper than 1/8 of it in both.
   There, the connected parts of their pieces are matched, each with its best partner of the same
   label; an IoU of ``link_iou`` or more says that both pieces belong to one object. Parts that
   found nobody of their own label are then matched over all labels, from an IoU of 0.5 on: one
   cell that two windows class differently. Objects are the connected groups of pieces, over as
   many windows as they span.
3. Each pixel of an object is decided by the window that sees it deepest, among those that see the
   object. Where its pieces differ in label, each counts by its area times its score.
4. An object of which more than half lies in a larger one of the same label that no window has
   seen beside it is a remainder of it and is dropped. Then comes the usual suppression.

With a perfect segmentation of the windows and an overlap of at least one pixel the result is
exact, for cells of any shape and length that touch or not: where two pixels of a cell are next to
each other and different windows see them deepest, both windows have the same connected part of
the cell around them (step 2), and its IoU is 1.

Where two windows disagree so much that an object has no common part to compare (some pixels
only, less than ``link_iou`` of them in common), they are not joined: the larger one stays if it
covers most of the other, else both stay. With an overlap of 0 nothing can be joined.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.structures import InstanceData
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csgraph, csr_matrix
from torch import Tensor

from attnseg.iaunet.mask_crops import (
    MaskCrop,
    crop_mask,
    cut,
    encode,
    near_boxes,
    paste,
    shared_pairs,
)
from attnseg.iaunet.mask_nms import keep_greedily
from attnseg.iaunet.windows import Window, depth_map, inner_part

# Shares of a remainder within a larger object, and of a cell of two labels.
_COVERED = 0.5
_LINK_OTHER_LABEL = 0.5


class WindowPrediction(NamedTuple):
    """Instances of one window.

    Attributes:
        top: row of the image at which the window starts.
        left: column.
        masks: (n, h, w) bool, tensor or array, at the size of the window.
        labels: (n,).
        scores: (n,).
    """

    top: int
    left: int
    masks: Any
    labels: Any
    scores: Any


class StitchedInstance(NamedTuple):
    """One instance of the image."""

    crop: MaskCrop
    label: int
    score: float


class _Piece(NamedTuple):
    crop: MaskCrop
    label: int
    score: float
    window: int


def stitch(
    parts: Iterable[WindowPrediction],
    size: tuple[int, int],
    overlap: int,
    link_iou: float = 0.3,
    nms_iou: float = 0.8,
) -> list[StitchedInstance]:
    """Join what the windows of an image contain; see the module's text for the rules.

    Only crops of masks are kept: a generator needs the full masks of one window at a time.

    Args:
        parts: windows that cover the image, as from `windows.window_grid`.
        size: (H, W) of the image.
        overlap: pixels that neighbouring windows share at least.
        link_iou: least IoU of two parts of one object with the same label.
        nms_iou: instances of one class with a higher IoU are duplicates.

    Returns:
        Instances, best score first. The score of an object of several pieces is their mean,
        weighted by their areas; its label is that of the largest sum of area times score.

    Raises:
        ValueError: if a window does not lie within the image.
    """
    windows: list[Window] = []
    pieces: list[_Piece] = []
    for part in parts:
        windows.append(_window_of(part, size))
        inner = inner_part(windows[-1], size, 3 * overlap // 8)
        pieces += _pieces(part, len(windows) - 1, inner)
    if not pieces:
        return []
    groups = _groups(pieces, windows, size, overlap // 8, link_iou)
    objects = [_join([pieces[i] for i in group], windows, size) for group in groups]
    seen = [{pieces[i].window for i in group} for group in groups]
    return _suppress(objects, seen, nms_iou)


def to_instance_data(
    instances: Sequence[StitchedInstance],
    size: tuple[int, int],
    rle: bool = False,
    device: torch.device | str = "cpu",
) -> InstanceData:
    """The form in which mmdet's metrics take instances.

    Args:
        instances: what `stitch` gives.
        size: (H, W) of the image.
        rle: give masks as RLEs; a tensor takes n x H x W bytes.
        device: of the tensors.

    Returns:
        As from `postprocess.to_instances`.
    """
    crops = [instance.crop for instance in instances]
    masks: Any = (
        [encode(crop, size) for crop in crops]
        if rle
        else torch.from_numpy(paste(crops, size)).to(device)
    )
    return InstanceData(
        masks=masks,
        labels=torch.tensor([i.label for i in instances], dtype=torch.int64, device=device),
        scores=torch.tensor([i.score for i in instances], dtype=torch.float32, device=device),
        bboxes=torch.tensor([c.box for c in crops], dtype=torch.float32, device=device).reshape(
            -1, 4
        ),
    )


def _window_of(part: WindowPrediction, size: tuple[int, int]) -> Window:
    window = Window(part.top, part.left, *part.masks.shape[1:])
    bottom, right = window.top + window.height, window.left + window.width
    if min(window.top, window.left) < 0 or bottom > size[0] or right > size[1]:
        raise ValueError(f"{window} does not lie within the image of (H, W) = {tuple(size)}")
    return window


def _pieces(part: WindowPrediction, window: int, inner: tuple[slice, slice]) -> list[_Piece]:
    masks, labels, scores = (
        v.detach().cpu().numpy() if isinstance(v, Tensor) else np.asarray(v) for v in part[2:]
    )
    found = []
    for mask, label, score in zip(masks, labels, scores, strict=True):
        crop = crop_mask(mask != 0, part.top, part.left)
        if crop is not None and cut(crop, *inner) is not None:
            found.append(_Piece(crop, int(label), float(score), window))
    return found


def _groups(
    pieces: list[_Piece],
    windows: list[Window],
    size: tuple[int, int],
    margin: int,
    link_iou: float,
) -> list[NDArray[np.int64]]:
    """Indices of the pieces of each object."""
    members: list[list[int]] = [[] for _ in windows]
    for i, piece in enumerate(pieces):
        members[piece.window].append(i)
    inner = [inner_part(window, size, margin) for window in windows]
    links: list[tuple[int, int]] = []
    boxes = [(x.start, y.start, x.stop, y.stop) for y, x in inner]
    for a, b in zip(*near_boxes(boxes, boxes), strict=True):
        if a < b:
            rows, columns = (
                slice(max(p.start, q.start), min(p.stop, q.stop))
                for p, q in zip(inner[a], inner[b], strict=True)
            )
            one, two = (
                _connected([(i, pieces[i]) for i in members[w]], rows, columns) for w in (a, b)
            )
            links += _matches(one, two, link_iou)
    first, second = np.array(links, dtype=np.int64).reshape(-1, 2).T
    graph = csr_matrix((np.ones(len(first)), (first, second)), shape=(len(pieces),) * 2)
    _, group = csgraph.connected_components(graph, directed=False)
    return np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])


def _connected(
    pieces: list[tuple[int, _Piece]], rows: slice, columns: slice
) -> list[tuple[int, int, MaskCrop]]:
    """Index, label and mask of each connected part of the pieces within a rectangle."""
    found = []
    for i, piece in pieces:
        crop = cut(piece.crop, rows, columns)
        if crop is None:
            continue
        # 4-connected: parts of a cell are then the same whichever way the windows connect pixels.
        parts, _ = ndimage.label(crop.mask)
        for number, box in enumerate(ndimage.find_objects(parts), start=1):
            place = crop.top + box[0].start, crop.left + box[1].start
            found.append((i, piece.label, MaskCrop(*place, parts[box] == number)))
    return found


def _matches(
    one: list[tuple[int, int, MaskCrop]], two: list[tuple[int, int, MaskCrop]], link_iou: float
) -> list[tuple[int, int]]:
    """Pairs of pieces of which a part is the other's best partner."""
    if not one or not two:
        return []
    i, j, shared = shared_pairs([c for *_, c in one], [c for *_, c in two])
    areas, others = (np.array([c.area for *_, c in parts], dtype=int) for parts in (one, two))
    iou = shared / (areas[i] + others[j] - shared)
    labels, other_labels = (np.array([label for _, label, _ in parts]) for parts in (one, two))
    same = np.equal(labels[i], other_labels[j])
    linked = _mutual_best(i, j, np.where(same, iou, 0)) & same & (iou >= link_iou)
    free = ~np.isin(i, i[linked]) & ~np.isin(j, j[linked]) & ~same
    iou = np.where(free, iou, 0)
    linked |= _mutual_best(i, j, iou) & free & (iou >= _LINK_OTHER_LABEL)
    return [(one[a][0], two[b][0]) for a, b in zip(i[linked], j[linked], strict=True)]


def _mutual_best(i: NDArray[np.int64], j: NDArray[np.int64], values: NDArray) -> NDArray[np.bool_]:
    """Which pairs (i, j) have the highest value of all pairs of i and of all of j."""
    best = np.ones(len(values), dtype=bool)
    for side in (i, j):
        highest = np.zeros(side.max(initial=-1) + 1)
        np.maximum.at(highest, side, values)
        best &= values >= highest[side]
    return best


def _join(
    pieces: list[_Piece], windows: list[Window], size: tuple[int, int]
) -> StitchedInstance | None:
    areas = [piece.crop.area for piece in pieces]
    score = float(np.average([piece.score for piece in pieces], weights=areas))
    votes: dict[int, float] = {}
    for piece, area in zip(pieces, areas, strict=True):
        votes[piece.label] = votes.get(piece.label, 0) + area * piece.score
    boxes = np.array([piece.crop.box for piece in pieces])
    x1, y1 = boxes[:, :2].min(0).tolist()
    x2, y2 = boxes[:, 2:].max(0).tolist()
    mask = np.zeros((y2 - y1, x2 - x1), dtype=bool)
    deepest = np.full(mask.shape, -1)
    for window in sorted({piece.window for piece in pieces}):
        depth = depth_map(windows[window], size, (x1, y1, x2, y2))
        own = np.zeros_like(mask)
        for piece in pieces:
            if piece.window == window:
                rows, columns = piece.crop.top - y1, piece.crop.left - x1
                h, w = piece.crop.mask.shape
                own[rows : rows + h, columns : columns + w] |= piece.crop.mask
        deeper = depth > deepest
        mask[deeper] = own[deeper]
        deepest[deeper] = depth[deeper]
    crop = crop_mask(mask, y1, x1)
    return None if crop is None else StitchedInstance(crop, max(votes, key=votes.get), score)


def _suppress(
    objects: list[StitchedInstance | None], seen: list[set[int]], nms_iou: float
) -> list[StitchedInstance]:
    found = [(one, windows) for one, windows in zip(objects, seen, strict=True) if one is not None]
    i, j, shared = shared_pairs([one.crop for one, _ in found])
    labels = np.array([one.label for one, _ in found], dtype=np.int64)
    i, j, shared = (values[labels[i] == labels[j]] for values in (i, j, shared))
    areas = np.array([one.crop.area for one, _ in found], dtype=np.int64)
    covered = shared > _COVERED * np.minimum(areas[i], areas[j])
    for k in np.flatnonzero(covered):
        covered[k] = found[i[k]][1].isdisjoint(found[j[k]][1])
    order = keep_greedily(np.argsort(-areas, kind="stable"), i[covered], j[covered])
    scores = np.array([one.score for one, _ in found])
    order = order[np.argsort(-scores[order], kind="stable")]
    duplicate = shared > nms_iou * (areas[i] + areas[j] - shared)
    return [found[k][0] for k in keep_greedily(order, i[duplicate], j[duplicate])]
