"""Images larger than the training size, by windows whose instances are stitched."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample, SampleList
from mmengine.structures import InstanceData
from scipy import ndimage
from torch import Tensor

from attnseg.iaunet.mask_crops import MaskCrop, crop_mask
from attnseg.iaunet.stitching import WindowPrediction, stitch, to_instance_data
from attnseg.iaunet.windows import Window, WindowConfig, window_grid
from attnseg.registry import MODELS


class Instances(NamedTuple):
    """Instances of one window: masks (n, h, w) bool, labels (n,), scores (n,)."""

    masks: Any
    labels: Any
    scores: Any


# From padded windows (B, C, h, w) to the instances of each, with or without the padding.
Predict = Callable[[Tensor], Sequence[Instances]]

# The coarsest maps of encoders have 1/32 of the input's sides.
_DIVISOR = 32


def predict_in_windows(
    predict: Predict,
    image: Tensor,
    ori_shape: tuple[int, int],
    config: WindowConfig,
    nms_iou: float = 0.8,
    rle: bool = False,
) -> InstanceData:
    """Predict an image window by window and stitch.

    Windows have the size of the training crops; an image that is smaller is padded to it, right
    and below, as the data preprocessor pads. Sides that are no multiple of 32 are padded to the
    next one: the grid of an encoder would reach beyond them, and masks would be shifted by a
    fraction of a pixel.

    Args:
        predict: the network on a batch of windows.
        image: (C, H, W), preprocessed, without padding.
        ori_shape: (H, W) of the original image, to which the result is brought.
        config: size and overlap of the windows, and how many go through the network at once.
        nms_iou: instances of one class with a higher IoU are duplicates.
        rle: give masks as RLEs instead of a tensor.
    """
    size = (image.shape[1], image.shape[2])
    grid = window_grid(size, config.size, config.overlap)
    parts = _predict_parts(predict, image, grid, config)
    found = stitch(parts, size, config.overlap, nms_iou=nms_iou)
    if tuple(ori_shape) != size:
        resized = ((resize_crop(i.crop, size, ori_shape), i) for i in found)
        found = [i._replace(crop=crop) for crop, i in resized if crop is not None]
    return to_instance_data(found, tuple(ori_shape), rle, image.device)


def _predict_parts(
    predict: Predict, image: Tensor, grid: Sequence[Window], config: WindowConfig
) -> Iterator[WindowPrediction]:
    height, width = (-(-side // _DIVISOR) * _DIVISOR for side in config.size)
    for start in range(0, len(grid), config.batch):
        windows = grid[start : start + config.batch]
        crops = [image[:, w.top : w.top + w.height, w.left : w.left + w.width] for w in windows]
        padded = [F.pad(c, (0, width - c.shape[2], 0, height - c.shape[1])) for c in crops]
        for window, (masks, labels, scores) in zip(
            windows, predict(torch.stack(padded)), strict=True
        ):
            inside = masks[:, : window.height, : window.width]
            yield WindowPrediction(window.top, window.left, inside, labels, scores)


def resize_crop(
    crop: MaskCrop, size: tuple[int, int], new_size: tuple[int, int]
) -> MaskCrop | None:
    """A mask of an image of ``size`` (H, W) at another size, bilinear; None if it vanishes."""
    axes, starts = [], []
    for start, length, old, new in zip(crop[:2], crop.mask.shape, size, new_size, strict=True):
        step = old / new
        first = max(0, int((start - 1) / step))
        last = min(new, int((start + length + 1) / step) + 1)
        # Pixel centres in the crop; beyond the image the border pixel goes on.
        place = np.clip((np.arange(first, last) + 0.5) * step - 0.5, 0, old - 1)
        axes.append(place - start)
        starts.append(first)
    values = ndimage.map_coordinates(
        crop.mask.astype(np.float32),
        np.meshgrid(*axes, indexing="ij"),
        order=1,
        mode="grid-constant",
    )
    return crop_mask(values > 0.5, *starts)


@MODELS.register_module()
class SlidingWindowDetector(BaseDetector):
    """Any mmdet instance detector, predicting in windows; training is the detector's own.

    IAUNet has ``test_cfg.windows`` of its own; this brings the same to Mask R-CNN, Mask2Former
    and others.

    Args:
        detector: config of the detector, without data preprocessor.
        windows: values of :class:`~attnseg.iaunet.windows.WindowConfig`.
        nms_iou: instances of one class with a higher IoU are duplicates.
        rle: give masks as RLEs instead of a tensor.
        train_cfg: unused, accepted because mmdet's configs carry it.
        test_cfg: unused, accepted because mmdet's configs carry it.
        data_preprocessor: see mmdet's BaseDetector.
        init_cfg: see mmdet's BaseDetector.
    """

    def __init__(
        self,
        detector: dict,
        windows: dict,
        nms_iou: float = 0.8,
        rle: bool = False,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.detector = MODELS.build(detector)
        self.windows = WindowConfig.from_dict(windows)
        self.nms_iou = nms_iou
        self.rle = rle

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Features of the detector."""
        return self.detector.extract_feat(batch_inputs)

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Losses of the detector."""
        return self.detector.loss(batch_inputs, batch_data_samples)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: SampleList | None = None) -> Any:
        """Raw outputs of the detector on whole images."""
        return self.detector._forward(batch_inputs, batch_data_samples)

    def _predict_batch(self, size: tuple[int, int], windows: Tensor) -> list[Instances]:
        padded = (windows.shape[2], windows.shape[3])
        meta = dict.fromkeys(("pad_shape", "batch_input_shape"), padded)
        meta |= {"img_shape": size, "ori_shape": size, "scale_factor": (1.0, 1.0)}
        samples = [DetDataSample(metainfo=dict(meta)) for _ in windows]
        predictions = [s.pred_instances for s in self.detector.predict(windows, samples)]
        return [Instances(p.masks, p.labels, p.scores) for p in predictions]

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True
    ) -> SampleList:
        """Add ``pred_instances`` at the original size (or, without ``rescale``, the input's)."""
        for sample, image in zip(batch_data_samples, batch_inputs, strict=True):
            height, width = sample.img_shape[:2]
            window = min(self.windows.size[0], height), min(self.windows.size[1], width)
            sample.pred_instances = predict_in_windows(
                partial(self._predict_batch, window),
                image[:, :height, :width],
                (sample.ori_shape if rescale else sample.img_shape)[:2],
                self.windows,
                self.nms_iou,
                self.rle,
            )
        return batch_data_samples
