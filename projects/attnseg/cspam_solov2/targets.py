"""Which cells of SOLOv2's grids learn which objects, for a whole batch at once.

The rule is SOLOv2's and that of mmdet's ``SOLOV2Head``, in the same float32 expressions, so that
cells agree bit for bit; the paper of CSPAM-SOLOv2 changes nothing here. Two differences in form:
all candidates of a cell are kept (mmdet lets the last object overwrite the class, the adaptive
minimum loss needs them all), and the mask of an object is scaled down once, not once a cell.

Everything runs on the CPU, where the masks of a batch are: masks at full size are the largest
tensors of a training step, and only their small versions travel to the accelerator.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

_BYTES = 8
_MOST = 255


class Candidates(NamedTuple):
    """Pairs of a cell and an object whose centre region covers it; objects of a cell ascend.

    Attributes:
        cell: (N,) int64, ``image * cells of an image + first cell of the level + y * grid + x``.
        object: (N,) int64, counted through the batch, image after image.
    """

    cell: Tensor
    object: Tensor


class Targets(NamedTuple):
    """What the loss needs of a batch's objects, on the CPU.

    Attributes:
        cell: see `Candidates`.
        obj: see `Candidates`.
        labels: (O,) int64.
        masks: (O, h, w) uint8, 0 or 1.
    """

    cell: Tensor
    obj: Tensor
    labels: Tensor
    masks: Tensor


def batch_targets(
    truths: Sequence[InstanceData],
    size: tuple[int, int],
    mask_stride: int,
    num_grids: Sequence[int],
    scale_ranges: Sequence[tuple[float, float]],
    pos_scale: float = 0.2,
) -> Targets:
    """Assign the cells of a batch and shrink its masks.

    Args:
        truths: ``bboxes`` (n, 4) or boxes of mmdet, ``labels`` (n,) and ``masks`` of each image,
            bitmaps or polygons of mmdet, or a tensor (n, H, W) of any type where pixels of the
            object are not 0; not larger than ``mask_stride * size``.
        size: (h, w) of the mask features.
        mask_stride: of the mask features.
        num_grids: see `assign_cells`.
        scale_ranges: see `assign_cells`.
        pos_scale: see `assign_cells`.

    Raises:
        ValueError: if masks are larger than the batch.
    """
    # Each copy from an accelerator waits for it: one for the labels of all images, one for boxes.
    labels = torch.cat([truth.labels for truth in truths]).cpu()
    boxes = torch.cat([get_box_tensor(truth.bboxes).reshape(-1, 4) for truth in truths]).cpu()
    centres, masks = [], []
    for truth in truths:
        full = _to_bytes(truth.masks)
        centres.append(centres_of_mass(full))
        masks.append(shrink_masks(full, mask_stride, size))
    cell, obj = assign_cells(
        boxes,
        torch.cat(centres),
        image_of_objects(truths),
        (size[0] * mask_stride, size[1] * mask_stride),
        num_grids,
        scale_ranges,
        pos_scale,
    )
    return Targets(cell, obj, labels, torch.cat(masks))


def image_of_objects(truths: Sequence[InstanceData]) -> Tensor:
    """Place in the batch of each object's image, (O,) int64 on the CPU."""
    counts = torch.tensor([len(truth.labels) for truth in truths])
    return torch.arange(len(truths)).repeat_interleave(counts)


def assign_cells(
    boxes: Tensor,
    centres: Tensor,
    image: Tensor,
    size: tuple[int, int],
    num_grids: Sequence[int],
    scale_ranges: Sequence[tuple[float, float]],
    pos_scale: float = 0.2,
) -> Candidates:
    """Find the candidate objects of each cell.

    An object belongs to the levels whose range holds the root of its box's area, both ends
    included. There it takes the cells that its centre region touches: ``pos_scale`` of its box
    around the centre of mass, and at most one cell beyond the centre's own to each side.

    Args:
        boxes: (O, 4) x1, y1, x2, y2 in pixels.
        centres: (O, 2) centres of mass as y, x in pixels; NaN for a mask without a pixel, which
            is left out.
        image: (O,) int64, the place of each object's image in the batch.
        size: height and width in pixels that the grids divide: that of the mask features times
            their stride.
        num_grids: cells of a side, for each level.
        scale_ranges: pixels from and to, for each level.
        pos_scale: side of the centre region over that of the box.

    Source:
        Wang et al., *SOLOv2*, Sec. 3.1, and *SOLO*, Sec. 3.3.
    """
    boxes = boxes.float()
    grids = torch.tensor(num_grids)
    steps = (1 / grids.double()).float()
    low, high = torch.tensor(scale_ranges, dtype=torch.float32).unbind(1)
    sides = boxes[:, [3, 2]] - boxes[:, [1, 0]]
    scale = torch.sqrt(sides[:, 1] * sides[:, 0])
    fits = (scale >= low[:, None]) & (scale <= high[:, None]) & ~centres.isnan().any(1)
    level, chosen = fits.nonzero(as_tuple=True)
    reach = (0.5 * sides * pos_scale)[chosen]
    middle, extent = centres[chosen], torch.tensor(size, dtype=torch.float32)
    last = grids[level, None] - 1

    def cell_at(place: Tensor) -> Tensor:
        return torch.div(place / extent, steps[level, None], rounding_mode="trunc").long()

    first = cell_at(middle - reach).clamp(min=0)
    last = torch.minimum(cell_at(middle + reach), last)
    near = cell_at(middle)[..., None] + torch.arange(-1, 2)
    inside = (near >= first[..., None]) & (near <= last[..., None])
    pair, dy, dx = (inside[:, 0, :, None] & inside[:, 1, None, :]).nonzero(as_tuple=True)
    level, chosen = level[pair], chosen[pair]
    starts = torch.cat([grids.new_zeros(1), grids.square().cumsum(0)])
    cell = near[pair, 0, dy] * grids[level] + near[pair, 1, dx]
    return Candidates(image[chosen] * starts[-1] + starts[level] + cell, chosen)


def centres_of_mass(masks: Tensor) -> Tensor:
    """Centres of masks in pixels, as mmdet's ``center_of_mass`` gives them.

    Pixels are counted eight at a time, as the bytes of one integer: reading the masks once by
    rows and once by columns is all the work.

    Args:
        masks: (O, H, W) uint8, 0 or 1.

    Returns:
        (O, 2) float32 as y, x; NaN for a mask without a pixel.
    """
    height, width = masks.shape[1:]
    if not len(masks):
        return torch.zeros(0, 2)
    masks = F.pad(masks, (0, -width % _BYTES)) if width % _BYTES else masks
    words = masks.contiguous().view(torch.int64)
    rows = _sum_bytes(words, 2).sum(-1)
    columns = _sum_bytes(words, 1).flatten(1)
    pixels = rows.sum(1).float()
    y = (rows * torch.arange(height)).sum(1)
    x = (columns * torch.arange(columns.shape[1])).sum(1)
    centres = torch.stack([y, x], 1).float() / pixels[:, None]
    return centres.where(pixels[:, None] > 0, torch.nan)


def _to_bytes(masks: Any) -> Tensor:
    """Bring masks of mmdet, or a tensor, to (n, H, W) uint8 on the CPU, 0 or 1."""
    if isinstance(masks, Tensor):
        return (masks != 0).to(torch.uint8).cpu()
    array = torch.from_numpy(np.ascontiguousarray(masks.to_ndarray()))
    if array.dtype == torch.bool:
        return array.view(torch.uint8)
    plain = array.dtype == torch.uint8 and (not array.numel() or int(array.max()) <= 1)
    return array if plain else (array != 0).to(torch.uint8)


def _sum_bytes(words: Tensor, dim: int) -> Tensor:
    """Sum along ``dim``, byte by byte; a byte holds the sum of 255 ones.

    Returns:
        int64, with a last dimension of 8, one a byte.
    """
    parts = (part.sum(dim) for part in words.split(_MOST, dim))
    return sum(part[..., None].view(torch.uint8).long() for part in parts)


def shrink_masks(masks: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    """Masks at ``1 / stride`` of their size, as ``mmcv.imrescale`` gives them.

    Its bilinear sampling reads the middle of each square of stride x stride pixels: the mean of
    the four central pixels, a half rounded up, or the central pixel of an odd stride. A square
    that the mask covers in part is padded with zeros.

    Args:
        masks: (O, H, W) uint8, 0 or 1.
        stride: from 1 on.
        size: (h, w) of the result, padded with zeros at the right and below.

    Returns:
        (O, h, w) uint8, 0 or 1.

    Raises:
        ValueError: if the masks are larger than ``stride * size``.
    """
    height, width = masks.shape[1:]
    if height > stride * size[0] or width > stride * size[1]:
        raise ValueError(
            f"masks of {height}x{width} pixels are larger than mask features of "
            f"{size[0]}x{size[1]} at mask_stride={stride}: give the mask head the stride of its "
            "output, and the data_preprocessor pad_size_divisor=32."
        )
    if height % stride or width % stride:
        masks = F.pad(masks, (0, -width % stride, 0, -height % stride))
    first, second = (stride - 1) // 2, stride // 2
    small = masks[:, first::stride]
    if first == second:
        small = small[..., first::stride]
    else:
        small = small + masks[:, second::stride]
        small = (small[..., first::stride] + small[..., second::stride] >= 2).to(torch.uint8)
    return F.pad(small, (0, size[1] - small.shape[2], 0, size[0] - small.shape[1]))
