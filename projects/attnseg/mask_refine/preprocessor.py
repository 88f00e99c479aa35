"""From images and masks to the maps that a refinement network takes."""

import math
from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.structures import BaseDataElement
from torch import Tensor

from attnseg.errors import InputError
from attnseg.mask_refine.encoding import (
    IMAGE_CHANNELS,
    MASK_CHANNELS,
    image_channels,
    mask_channel,
)
from attnseg.registry import MODELS


@MODELS.register_module()
class RefinementPreprocessor(BaseDataPreprocessor):
    """Encode images, coarse masks and strokes; pad a batch to its largest sample.

    The default channels, their order and their scale are the published code's; the paper names
    the image first. Each image is encoded before it is padded, so that padding changes none of
    its values. It does change what a network with GroupNorm answers, whose statistics then hold
    the padding: the published code trains and tests on single images, and so does who wants
    its answers.

    Args:
        channels: in this order: ``coarse``, ``gray``, ``gradient`` (published), ``rgb`` (three,
            with ImageNet's mean and deviation taken out), ``distance`` (signed, to the boundary
            of the coarse mask, positive inside), ``add``, ``remove`` (strokes; zeros where a
            sample has none).
        distance_scale: pixels of the network's input at which ``distance`` reaches 1 or -1.
        relative_distance: in place of that, this share of the diagonal of the whole image: a
            crop then tells the network how large its object is. 0.04 is 32 pixels at 640x480.
        pad_size_divisor: pad to multiples of this.
        blank_image: zeros in place of all channels of the image, to see what a network has from
            the mask alone.
        non_blocking: see mmengine's BaseDataPreprocessor.

    Raises:
        ValueError: for unknown, repeated or no channels, a scale or divisor that is not positive.
        InputError: (when called) for samples that lack a coarse mask or do not fit their image.
    """

    def __init__(
        self,
        channels: Sequence[str] = ("coarse", "gray", "gradient"),
        distance_scale: float = 32.0,
        relative_distance: float | None = None,
        pad_size_divisor: int = 1,
        blank_image: bool = False,
        non_blocking: bool = False,
    ) -> None:
        super().__init__(non_blocking)
        sizes = {**IMAGE_CHANNELS, **MASK_CHANNELS}
        unknown = [name for name in channels if name not in sizes]
        if unknown or not channels or len(set(channels)) != len(channels):
            raise ValueError(f"channels must be some of {list(sizes)}, each once, got {channels}")
        if distance_scale <= 0 or pad_size_divisor < 1:
            raise ValueError(
                "distance_scale and pad_size_divisor must be positive, got "
                f"{distance_scale} and {pad_size_divisor}"
            )
        if relative_distance is not None and not 0 < relative_distance <= 1:
            raise ValueError(
                "relative_distance is a share of the image's diagonal, above 0 and at most 1, "
                f"got {relative_distance}"
            )
        self.channels = tuple(channels)
        self.distance_scale = distance_scale
        self.relative_distance = relative_distance
        self.pad_size_divisor = pad_size_divisor
        self.blank_image = blank_image
        self._places: dict[str, slice] = {}
        start = 0
        for name in channels:
            self._places[name] = slice(start, start + sizes[name])
            start += sizes[name]
        self.num_channels = start

    def forward(self, data: dict, training: bool = False) -> dict:
        """Encode a batch.

        Args:
            data: ``inputs``, uint8 BGR images (3, h, w), and ``data_samples`` with ``coarse`` and
                perhaps ``add`` and ``remove``, bool (h, w).
            training: of no effect.

        Returns:
            ``inputs``: ``features``, float32 (B, num_channels, H, W), ``valid``, bool (B, 1, H,
            W), False in the padding, where all features are 0, and ``reach``, float32 (B, 1, 1,
            1), pixels at which ``distance`` ends; ``data_samples``.
        """
        data = self.cast_data(data)
        images, samples = list(data["inputs"]), list(data["data_samples"])
        for image, sample in zip(images, samples, strict=True):
            _check(image, sample)
        names = [name for name in self.channels if name in IMAGE_CHANNELS]
        encoded = [image_channels(image, names, self.blank_image) for image in images]
        size = self._padded([image.shape[-2:] for image in images])
        features = images[0].new_zeros(len(images), self.num_channels, *size, dtype=torch.float32)
        valid = features.new_zeros(len(images), 1, *size, dtype=torch.bool)
        masks = {name: torch.zeros_like(valid) for name in ("coarse", "add", "remove")}
        for i, (image, maps, sample) in enumerate(zip(images, encoded, samples, strict=True)):
            height, width = image.shape[-2:]
            valid[i, :, :height, :width] = True
            for name, values in zip(names, maps, strict=True):
                features[i, self._places[name], :height, :width] = values
            for name, mask in masks.items():
                if name in sample:
                    mask[i, 0, :height, :width] = sample.get(name)
        reach = features.new_tensor([self._reach(sample) for sample in samples]).view(-1, 1, 1, 1)
        features = self.replace_masks(features, **masks, valid=valid, reach=reach)
        inputs = {"features": features, "valid": valid, "reach": reach}
        return {"inputs": inputs, "data_samples": samples}

    def replace_masks(
        self,
        features: Tensor,
        coarse: Tensor | None = None,
        add: Tensor | None = None,
        remove: Tensor | None = None,
        valid: Tensor | None = None,
        reach: Tensor | None = None,
    ) -> Tensor:
        """Encode other masks into the features of a batch, as when a prediction is refined again.

        Args:
            features: (B, num_channels, H, W), which stay as they are.
            coarse: (B, 1, H, W), bool or 0 and 1; None leaves its channels, as below.
            add: the same, strokes that belong to the object.
            remove: the same, strokes that do not.
            valid: the batch's, bool (B, 1, H, W); needed where it has padding.
            reach: the batch's, float (B, 1, 1, 1); ``distance_scale`` by default.

        Returns:
            New features of the same shape and type.
        """
        given = {"coarse": coarse, "add": add, "remove": remove}
        masks = {name: mask != 0 for name, mask in given.items() if mask is not None}
        if valid is None:
            valid = torch.ones_like(features[:, :1], dtype=torch.bool)
        features = features.clone()
        for name, place in self._places.items():
            source = "coarse" if name == "distance" else name
            if source in masks:
                end = self.distance_scale if reach is None else reach
                features[:, place] = mask_channel(name, masks, valid, end).to(features.dtype)
        return features

    def _reach(self, sample: BaseDataElement) -> float:
        """Pixels of the network's input at which the distance ends."""
        if self.relative_distance is None:
            return self.distance_scale
        height, width = sample.get("ori_shape", sample.coarse.shape)[:2]
        left, _, right, _ = sample.get("crop_box") or (0, 0, width, height)
        scale = sample.coarse.shape[1] / (right - left)
        return self.relative_distance * math.hypot(height, width) * scale

    def _padded(self, sizes: list[torch.Size]) -> tuple[int, int]:
        step = self.pad_size_divisor
        height, width = (-(-max(sides) // step) * step for sides in zip(*sizes, strict=True))
        return height, width


def _check(image: Tensor, sample: BaseDataElement) -> None:
    name = sample.get("img_path", sample.get("img_id", ""))
    if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != 3:
        raise InputError(
            f"RefinementPreprocessor expects images uint8 (3, h, w), got {image.dtype} "
            f"{tuple(image.shape)} for '{name}'; end the pipeline with PackRefinement"
        )
    if "coarse" not in sample:
        raise InputError(
            f"the sample of '{name}' has no coarse mask; put CoarseMask before PackRefinement"
        )
    for key in ("coarse", "target", "add", "remove"):
        if key in sample and sample.get(key).shape != image.shape[1:]:
            raise InputError(
                f"'{key}' of '{name}' has {tuple(sample.get(key).shape)} pixels, its image "
                f"{tuple(image.shape[1:])}"
            )
