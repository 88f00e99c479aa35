"""Semantic maps straight from panoptic PNGs."""

from typing import Any

from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS
from ..panoptic_png import label_map, read_segment_ids


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
