"""Normalisation of images with any number of channels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS


@TRANSFORMS.register_module()
class NormalizeChannels(BaseTransform):
    """Subtract a mean and divide by a standard deviation, for any number of channels.

    For what the data preprocessors of mmdet and mmseg cannot say: they take 1 or 3 values only,
    and none of the image itself. Set ``mean=None, std=None`` there, and ``bgr_to_rgb=False``
    unless there are 3 channels. Without values, each image is brought to mean 0 and deviation 1
    (z-score).

    Stands straight behind :class:`~attnseg.datasets.transforms.image.LoadImage`: padding of
    later transforms must not count, and its value 0 is then the mean.

    Args:
        mean: One for each channel in the order of the loaded image (BGR for colour), or one for
            all; on the scale of the loaded image, 0..255.
        std: Likewise, above 0.
        per_channel: z-score of each channel alone rather than over all pixels of all channels.

    Raises:
        ValueError: If only one of ``mean`` and ``std`` is given, their lengths differ, a
            deviation is not above 0; or naming the image, if it has another number of channels.
    """

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        per_channel: bool = False,
    ) -> None:
        if (mean is None) != (std is None):
            raise ValueError(f"mean and std belong together, got mean={mean} and std={std}.")
        if mean is not None and std is not None:
            if len(mean) != len(std) or not len(mean) or min(std) <= 0:
                raise ValueError(
                    "mean and std need one value for each channel, std above 0, "
                    f"got mean={tuple(mean)} and std={tuple(std)}."
                )
            if per_channel:
                raise ValueError("per_channel is of the z-score: leave it out, or mean and std.")
        self.mean = None if mean is None else np.asarray(mean, np.float32)
        self.std = None if std is None else np.asarray(std, np.float32)
        self.per_channel = per_channel

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``img``, (H, W, C) or (H, W), to float32 of the same shape; constant is 0."""
        img = results["img"].astype(np.float32)
        if self.mean is None or self.std is None:
            axis = (0, 1) if self.per_channel else None
            # float32 sums of large images lose digits.
            mean = img.mean(axis, dtype=np.float64, keepdims=True)
            std = img.std(axis, dtype=np.float64, keepdims=True)
            # Rounding leaves a constant image a deviation of about 1e-6 of its value.
            even = std <= 1e-5 * np.abs(mean)
            img = np.where(even, 0, (img - mean) / np.where(even, 1, std))
        else:
            channels = img.shape[2] if img.ndim == 3 else 1
            if len(self.mean) not in (1, channels):
                raise ValueError(
                    f"image '{results.get('img_path')}' has {channels} channels, but "
                    f"NormalizeChannels got {len(self.mean)} values: give one for each, or one "
                    "for all."
                )
            img = (img - self.mean) / self.std
        results["img"] = img.astype(np.float32)
        return results
