"""mmdet's and mmseg's inferencers, with the reader that the tests of a config have.

Those of mmdet and mmseg put a loader of their own in place of the config's, which knows no
channels, planes or options; and they decode the file once more for the drawing.

A call returns the predictions of all its images, as theirs do: memory grows with their number. Over
large folders it stays flat with one call for each file, or for some hundred.

Example:
    >>> infer = DetInferencer("mine.py", weights="iter_400.pth")
    >>> infer("cells.tif", out_dir="drawn")["predictions"]
"""

# ruff: noqa: E402

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose, LoadImageFromFile
from mmengine.registry import TRANSFORMS
from mmengine.structures import BaseDataElement
from numpy.typing import NDArray

from attnseg.compat import setup_env

# Users import this module first, and mmdet needs it.
setup_env()

import mmdet.apis
import mmseg.apis

from attnseg.apis.activations import inference_pipeline
from attnseg.apis.command import UsageError
from attnseg.apis.experiment import find_config
from attnseg.apis.json_config import read_json_config
from attnseg.datasets import LoadImage
from attnseg.engine.display import picture_name, to_rgb, with_masks
from attnseg.rle import decode_mask

Given = str | Path | NDArray[Any] | Mapping[str, Any]


class InputPipeline:
    """The pipeline of a config's test set for files and arrays.

    Args:
        steps: see :func:`~attnseg.apis.activations.inference_pipeline`.

    Raises:
        UsageError: If the first step is no reader of images.
    """

    def __init__(self, steps: Compose) -> None:
        self.transforms = steps.transforms
        loader = self.transforms[0]
        if not isinstance(loader, (LoadImage, LoadImageFromFile)):
            raise UsageError(
                f"the pipeline of the test set begins with {type(loader).__name__}: expected "
                "attnseg.LoadImage or LoadImageFromFile, which read the image."
            )
        self._loader = self._array_loader = loader
        if not isinstance(loader, LoadImage):
            self._array_loader = TRANSFORMS.build({"type": "mmdet.LoadImageFromNDArray"})

    def read(self, given: Given) -> dict[str, Any]:
        """Load a file by its path, or take an array (H, W) or (H, W, C), or either in a dict.

        Arrays have three channels in BGR, or those of the files; deep ones are stretched as deep
        files are.
        """
        if isinstance(given, Mapping):
            results = dict(given)
        elif isinstance(given, (str, Path)):
            results = {"img_path": str(given)}
        else:
            results = {"img": np.asarray(given)}
        loader = self._array_loader if "img" in results else self._loader
        return loader(results)

    def __call__(self, given: Given) -> dict[str, Any]:
        """Give the packed sample of one input."""
        return self.pack(self.read(given))

    def pack(self, results: dict[str, Any]) -> dict[str, Any]:
        """Apply all steps but the first to what `read` gave."""
        for step in self.transforms[1:]:
            results = step(results)
        return results


class _OwnReader:
    """Mixin in front of an inferencer: reads and draws what the network sees."""

    pipeline: InputPipeline
    num_visualized_imgs: int
    visualizer: Any

    def __init__(self, model: Any = None, *args: Any, **kwargs: Any) -> None:
        if isinstance(model, (str, Path)) and str(model).lower().endswith(".json"):
            model = read_json_config(find_config(model))
        super().__init__(model, *args, **kwargs)

    def _init_pipeline(self, cfg: Any) -> InputPipeline:
        return InputPipeline(inference_pipeline(cfg))

    def _draw(
        self, given: Given, sample: BaseDataElement, folder: str, threshold: float, **options: Any
    ) -> NDArray[np.uint8]:
        image = to_rgb(self.pipeline.read(given)["img"], bgr=True)
        if isinstance(given, (str, Path)):
            name = picture_name(given)
        else:
            name = f"{self.num_visualized_imgs:08}.png"
        self.visualizer.add_datasample(
            name,
            image,
            with_masks(sample, threshold, image.shape[:2]),
            draw_gt=False,
            out_file=str(Path(folder) / name) if folder else None,
            **options,
        )
        self.num_visualized_imgs += 1
        return self.visualizer.get_image()


class DetInferencer(_OwnReader, mmdet.apis.DetInferencer):
    """mmdet's ``DetInferencer`` that reads images as ``tools/test.py`` does.

    Arguments, call and results are mmdet's. Deep images, channels, planes and the arguments of
    ``attnseg.LoadImage`` count as in the pipeline of the test set; the drawing shows what was
    read, as PNG where the file is none that viewers show. Masks may be RLEs
    (``model.test_cfg.rle=True``).
    """

    def visualize(
        self,
        inputs: Sequence[Given],
        preds: Sequence[BaseDataElement],
        return_vis: bool = False,
        show: bool = False,
        wait_time: float = 0,
        draw_pred: bool = True,
        pred_score_thr: float = 0.3,
        no_save_vis: bool = False,
        img_out_dir: str = "",
        **kwargs: Any,
    ) -> list[NDArray[np.uint8]] | None:
        """Draw predictions into the images as they were read; (H, W, 3) each, in RGB."""
        folder = "" if no_save_vis or not img_out_dir else str(Path(img_out_dir) / "vis")
        if not (show or return_vis or folder):
            return None
        options = {"show": show, "wait_time": wait_time, "draw_pred": draw_pred}
        return [
            self._draw(
                given, sample, folder, pred_score_thr, pred_score_thr=pred_score_thr, **options
            )
            for given, sample in zip(inputs, preds, strict=True)
        ]

    def pred2dict(self, data_sample: BaseDataElement, pred_out_dir: str = "") -> dict[str, Any]:
        """Give labels, scores, boxes and masks (RLEs) of one image as plain values."""
        found = data_sample.get("pred_instances")
        if found is not None and isinstance(found.get("masks"), (list, tuple)):
            found, rles = found.new(), found.masks
            del found.masks
            if "bboxes" in found and found.bboxes.any():
                found.masks = _DenseMasks(rles)
            else:  # mmdet then computes boxes; without any, all masks are empty.
                found.masks = torch.zeros(len(rles), *data_sample.ori_shape[:2], dtype=torch.bool)
            data_sample = data_sample.new()
            data_sample.pred_instances = found
        return super().pred2dict(data_sample, pred_out_dir)


class SegInferencer(_OwnReader, mmseg.apis.MMSegInferencer):
    """mmseg's ``MMSegInferencer`` that reads images as ``tools/test.py`` does.

    Arguments, call and results are mmseg's; see :class:`DetInferencer` for files and drawings.
    """

    def visualize(
        self,
        inputs: Sequence[Given],
        preds: Sequence[BaseDataElement],
        return_vis: bool = False,
        show: bool = False,
        wait_time: float = 0,
        img_out_dir: str = "",
        opacity: float = 0.8,
        with_labels: bool = True,
    ) -> list[NDArray[np.uint8]] | None:
        """Draw predictions into the images as they were read; (H, W, 3) each, in RGB."""
        if not (show or return_vis or img_out_dir):
            return None
        self.visualizer.set_dataset_meta(**self.model.dataset_meta)
        self.visualizer.alpha = opacity
        options = {"show": show, "wait_time": wait_time, "with_labels": with_labels}
        drawn = [
            self._draw(given, sample, img_out_dir, 0, **options)
            for given, sample in zip(inputs, preds, strict=True)
        ]
        return drawn if return_vis else None


class _DenseMasks:
    """RLEs that are decoded one at a time: all at once may not fit into memory."""

    def __init__(self, rles: Sequence[Mapping[str, Any]]) -> None:
        self._rles = rles

    def __len__(self) -> int:
        return len(self._rles)

    def __iter__(self) -> Iterator[NDArray[np.bool_]]:
        return map(decode_mask, self._rles)
