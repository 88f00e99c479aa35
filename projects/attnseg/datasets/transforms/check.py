"""Checks of one sample: image against its annotations, labels against the classes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.fileio import LocalBackend, get_file_backend
from numpy.typing import NDArray
from PIL import Image

from ...coco_objects import usable_polygons
from ...registry import TRANSFORMS
from ...rle import run_lengths

Size = tuple[int, int]
_UNREADABLE = "segmentation map '{}' cannot be decoded: it is damaged or no image. Restore it."


@TRANSFORMS.register_module()
class CheckSample(BaseTransform):
    """Check loaded annotations; stands straight behind the loading of annotations.

    Args:
        num_classes: Number of classes; taken from the data set (``results['num_classes']``) if
            left out.
        ignore_index: Label of pixels without a class.

    Raises:
        ValueError: Naming the files and both sizes, if masks or segmentation map and image
            differ in size; naming the file, the values and the number of classes, if there are
            labels outside 0 to ``num_classes - 1``.
    """

    def __init__(self, num_classes: int | None = None, ignore_index: int = 255) -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``results`` unchanged, or raise."""
        size = tuple(results["ori_shape"][:2])
        num_classes = self.num_classes or results.get("num_classes")
        masks, seg = results.get("gt_masks"), results.get("gt_seg_map")
        if masks is not None and (masks.height, masks.width) != size:
            raise _other_size(results["img_path"], size, "its masks", (masks.height, masks.width))
        if seg is not None:
            self._check_map(results, seg, size, num_classes)
        if num_classes is not None and "gt_bboxes_labels" in results:
            labels = results["gt_bboxes_labels"]
            wrong = np.unique(labels[(labels < 0) | (labels >= num_classes)])
            if wrong.size:
                raise _wrong_labels(f"objects of image '{results['img_path']}'", wrong, num_classes)
        return results

    def _check_map(
        self, results: Mapping[str, Any], seg: NDArray[Any], size: Size, num_classes: int | None
    ) -> None:
        path = results.get("seg_map_path")
        if seg.ndim != 2:
            raise ValueError(
                f"segmentation map '{path}' has {seg.shape[2]} channels: expected an index PNG of "
                "one channel, whose values are labels."
            )
        if seg.shape != size:
            raise _other_size(results["img_path"], size, f"segmentation map '{path}'", seg.shape)
        if num_classes is None:
            return
        outside = ((seg < 0) | (seg >= num_classes)) & (seg != self.ignore_index)
        if outside.any():
            values = np.unique(seg[outside])
            raise _wrong_labels(f"segmentation map '{path}'", values, num_classes)


def check_files(results: Mapping[str, Any], size: Size) -> None:
    """Compare an image with all that says its size, before annotations are loaded.

    Loaders put masks of another size into shape without a word (a transposed mask has the right
    number of pixels), so this comes first.

    Args:
        results: Sample as the data set gives it.
        size: Height and width of the image in pixels.

    Raises:
        FileNotFoundError: If the segmentation map is missing.
        ValueError: Naming the files and both sizes; the image and the object, if its mask is
            damaged; or the map, if it cannot be decoded or is 16-bit with labels above 255, which
            mmseg's loader would truncate.
    """
    path = results["img_path"]
    if "height" in results and (results["height"], results["width"]) != size:
        listed = (results["height"], results["width"])
        raise _other_size(path, size, "its entry in the annotation file", listed)
    for number, instance in enumerate(results.get("instances", ())):
        _check_mask(path, size, number, instance.get("mask"))
    seg_path = results.get("seg_map_path")
    if seg_path and isinstance(get_file_backend(seg_path), LocalBackend):
        _check_map_file(path, size, seg_path, "segments_info" in results)


def _check_mask(path: str, size: Size, number: int, mask: Any) -> None:
    """Check what mmdet hands to decoders in C, which leave pixels as they find them."""
    name = f"object {number} of image '{path}'"
    if isinstance(mask, list):
        usable_polygons(mask, name)
    elif isinstance(mask, Mapping):
        sides = mask["size"]
        if isinstance(sides, (list, tuple)) and len(sides) == 2 and tuple(sides) != size:
            raise _other_size(path, size, f"the mask of its object {number}", tuple(sides))
        try:
            run_lengths(mask)
        except ValueError as error:
            raise ValueError(f"{name}: {error}. Correct it, or remove the annotation.") from error


def _check_map_file(path: str, size: Size, seg_path: str, panoptic: bool) -> None:
    try:
        with Image.open(seg_path) as header:
            found = (header.height, header.width)
            deep = header.mode.startswith("I") and not panoptic
            highest = int(np.asarray(header).max()) if deep else 0
            # Loaders see a cut file only while decoding, and then do not name it.
            whole = header.format != "PNG" or _ends_as_png(seg_path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"segmentation map '{seg_path}' of image '{path}' does not exist (config keys "
            "data_root, data_prefix and seg_map_suffix)."
        ) from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(_UNREADABLE.format(seg_path)) from error
    if not whole:
        raise ValueError(_UNREADABLE.format(seg_path))
    if found != size:
        raise _other_size(path, size, f"segmentation map '{seg_path}'", found)
    if highest > 255:
        raise ValueError(
            f"segmentation map '{seg_path}' is 16-bit with labels up to {highest}: labels must "
            "lie in 0..254, and 255 is void."
        )


def _ends_as_png(path: str) -> bool:
    with open(path, "rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 64))
        return b"IEND" in file.read()


def _other_size(path: str, size: Size, other: str, other_size: tuple[int, ...]) -> ValueError:
    return ValueError(
        f"image '{path}' is {size[0]}x{size[1]} (height x width), but {other} is "
        f"{other_size[0]}x{other_size[1]}: both must have one size. Pair the right files, or "
        "resize one of them."
    )


def _wrong_labels(what: str, values: NDArray[Any], num_classes: int) -> ValueError:
    shown = ", ".join(str(value) for value in values[:10].tolist())
    return ValueError(
        f"{what} holds labels {shown}, outside the class range 0..{num_classes - 1} "
        f"(num_classes={num_classes}; 255 is void). Correct the labels or the class list; where 0 "
        "stands for void, set reduce_zero_label=True."
    )
