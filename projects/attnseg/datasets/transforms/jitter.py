"""Scale jitter to one fixed size, for any number of channels."""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, RandomResize
from mmdet.datasets.transforms import RandomCrop

from ...registry import TRANSFORMS


@TRANSFORMS.register_module()
class ScaleJitter(BaseTransform):
    """Resize to a random multiple of ``size``, then crop or pad to ``size``.

    Works on images of any number of channels, boxes, masks and segmentation maps, in pipelines
    of mmdet and mmseg. Objects that the crop or the resize leaves without a pixel are removed;
    an image without objects stays.

    Padding lies right and below: ``img_shape`` is the size of the image in it, and losses tell
    the padding by it. RandomFlip moves padding, and so belongs in front of this transform.

    Args:
        size: Height and width of the result in pixels.
        ratio_range: Range of the random multiple.
        pad_val: Value of padded image pixels.
        seg_pad_val: Label of padded pixels (void).
        interpolation: Of the image. Masks and maps are always resized by nearest neighbour.
        keep_ratio: Keep the aspect ratio, as mmdet's ``Resize`` does: of a square ``size``, the
            multiple is that of the longest side, and the shorter side is padded. Else both sides
            are brought to the multiple. The test pipeline has to do the same. mmdet's ``Resize``
            takes the longer side of a ``size`` that is not square for the longer side of the image,
            upright or not: an upright image is then too high for a wide ``size``, and is cropped.
        pad: Bring smaller results to ``size``. False leaves that to the batch: for networks whose
            grids span the whole input (SOLO), which in tests is no larger than the image.
        native: Take the multiple of the image's own size, not of ``size``, so that objects keep
            their scale however large the image is; for tests in sliding windows.
    """

    def __init__(
        self,
        size: tuple[int, int],
        ratio_range: tuple[float, float] = (0.8, 1.25),
        pad_val: float = 0,
        seg_pad_val: int = 255,
        interpolation: str = "bilinear",
        keep_ratio: bool = False,
        native: bool = False,
        pad: bool = True,
    ) -> None:
        height, width = size
        self.size = (height, width)
        self.native = native
        self.pad = pad
        self.pad_val = pad_val
        self.seg_pad_val = seg_pad_val
        self.resize = RandomResize(
            scale=(width, height),
            ratio_range=ratio_range,
            resize_type="mmdet.Resize",
            keep_ratio=keep_ratio,
            interpolation=interpolation,
        )
        self.crop = RandomCrop((width, height), allow_negative_crop=True, recompute_bbox=True)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change image and annotations; set ``img_shape`` and, where padded, ``pad_shape``."""
        if self.native:
            self.resize.scale = results["img"].shape[1::-1]
        results = self.crop(self.resize(results))
        if self.pad:
            results = self._pad(results)
        masks = results.get("gt_masks")
        if masks is not None:
            kept = np.flatnonzero(masks.areas > 0)
            for key in ("gt_bboxes", "gt_bboxes_labels", "gt_ignore_flags", "gt_masks"):
                if key in results:
                    results[key] = results[key][kept]
        return results

    def _pad(self, results: dict[str, Any]) -> dict[str, Any]:
        # mmcv's Pad fails above 4 channels: OpenCV takes 4 border values at most.
        img = results["img"]
        below, right = self.size[0] - img.shape[0], self.size[1] - img.shape[1]
        border = ((0, below), (0, right))
        results["img"] = np.pad(img, (*border, (0, 0))[: img.ndim], constant_values=self.pad_val)
        if results.get("gt_seg_map") is not None:
            results["gt_seg_map"] = np.pad(
                results["gt_seg_map"], border, constant_values=self.seg_pad_val
            )
        if results.get("gt_masks") is not None:
            results["gt_masks"] = results["gt_masks"].pad(self.size)
        results["img_shape"], results["pad_shape"] = img.shape[:2], self.size
        return results
