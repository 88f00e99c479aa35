"""Annotations straight from panoptic PNGs."""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from scipy import ndimage

from ...coco_files import read_segment_ids, relabel
from ...registry import TRANSFORMS
from ..panoptic_png import VOID, check_class_count, label_map

_FIRST_CODE = VOID + 1


@TRANSFORMS.register_module()
class LoadPanopticAsSemantic(BaseTransform):
    """Load ``gt_seg_map`` (H, W), uint8, from a panoptic PNG; void is 255.

    Needs ``seg_map_path`` and ``segments_info`` as ``attnseg.CocoPanopticDataset`` and
    ``attnseg.CocoPanopticSemanticDataset`` give them. Crowds keep the label of their class.
    Samples without annotations (inference) pass unchanged.

    Raises:
        FileNotFoundError: If the PNG is missing.
        ValueError: Naming the PNG, if it cannot be decoded.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``gt_seg_map``."""
        if results.get("seg_map_path") is None:
            return results
        ids = read_segment_ids(results["seg_map_path"])
        results["gt_seg_map"] = label_map(ids, results["segments_info"], results["num_classes"])
        results.setdefault("seg_fields", []).append("gt_seg_map")
        return results


@TRANSFORMS.register_module()
class LoadPanopticMap(BaseTransform):
    """Load a panoptic PNG as one map of segment numbers, which augmentation moves as a whole.

    mmdet's LoadPanopticAnnotations makes a full-size mask of each object and resizes them one by
    one, which takes most of a CPU where images hold hundreds of cells. Here
    :class:`SplitPanopticMap` makes the masks after augmentation, at the network's size.

    ``gt_seg_map`` (H, W), int32, holds 256 + i for ``segments_info[i]`` and 255 for void, so that
    transforms which pad with 255 pad with void. Samples without annotations pass unchanged.

    Raises:
        FileNotFoundError: If the PNG is missing.
        ValueError: Naming the PNG, if it cannot be decoded; or above 255 classes.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``gt_seg_map``."""
        if results.get("seg_map_path") is None:
            return results
        check_class_count(results.get("num_classes", 0))
        ids = read_segment_ids(results["seg_map_path"])
        codes = {part["id"]: i for i, part in enumerate(results["segments_info"], _FIRST_CODE)}
        results["gt_seg_map"] = relabel(ids, codes, VOID, np.int32)
        return results


@TRANSFORMS.register_module()
class SplitPanopticMap(BaseTransform):
    """Turn the map of :class:`LoadPanopticMap` into mmdet's panoptic annotations.

    Adds ``gt_masks``, ``gt_bboxes``, ``gt_bboxes_labels`` and ``gt_ignore_flags`` of the objects
    that still have a pixel, and makes ``gt_seg_map`` labels (H, W), uint8, void 255. Crowds keep
    the label of their class and are no objects.

    Raises:
        ValueError: Above 255 classes, where void would be a label.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Replace the codes."""
        codes = results.get("gt_seg_map")
        if codes is None:
            return results
        segments = results["segments_info"]
        check_class_count(max((part["category"] + 1 for part in segments), default=0))
        windows = ndimage.find_objects(np.maximum(codes - VOID, 0), len(segments))
        things = [
            (i, window)
            for i, window in enumerate(windows)
            if window is not None and segments[i]["is_thing"]
        ]
        masks = np.zeros((len(things), *codes.shape), np.uint8)
        boxes = np.zeros((len(things), 4), np.float32)
        for row, (i, window) in enumerate(things):
            masks[row][window] = codes[window] == i + _FIRST_CODE
            y, x = window
            boxes[row] = x.start, y.start, x.stop, y.stop
        labels = np.array([part["category"] for part in segments] + [VOID], np.uint8)
        # Void is code 255, one below the first segment, and so takes the last entry.
        results["gt_seg_map"] = labels[codes - _FIRST_CODE]
        results["gt_masks"] = BitmapMasks(masks, *codes.shape)
        results["gt_bboxes"] = HorizontalBoxes(boxes)
        results["gt_bboxes_labels"] = np.array(
            [segments[i]["category"] for i, _ in things], np.int64
        )
        results["gt_ignore_flags"] = np.zeros(len(things), bool)
        return results
