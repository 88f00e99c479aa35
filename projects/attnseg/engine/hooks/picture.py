"""Predictions drawn into the images as the network saw them, whatever files these are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from numpy.typing import NDArray

from attnseg.engine.display import outlined, picture_name, to_rgb, with_masks
from attnseg.engine.run_record import training_progress
from attnseg.registry import HOOKS, TRANSFORMS

_DEFAULT_THRESHOLD = 0.3


@HOOKS.register_module()
class PictureHook(Hook):
    """Draw predictions of any task by the run's visualizer.

    Stands in for mmdet's and mmseg's visualization hooks, which decode the files themselves:
    deep images come out nearly black, and many channels or float values not at all. Here the
    data set's own loading step reads the file, so that its choice of channels, planes and range
    is what is seen; see :func:`~attnseg.engine.display.to_rgb` for the colours. Masks may be
    RLEs. A refined mask is drawn as an outline beside the coarse and the true one, each object
    cut out and enlarged in a picture of its own with a legend; see
    :func:`~attnseg.engine.display.outlined`. With each image of a test one picture is drawn, in a
    validation one in ``interval`` batches.

    Args:
        draw: Without it nothing is done; ``tools/test.py --show-dir`` turns it on.
        interval: Batches of validations from one picture to the next.
        test_out_dir: Folder for the pictures of a test, named as the images, with ``.png``
            appended to other formats, and PNG for single objects; if None, they go to the
            visualizer's backends.
        options: Passed to the visualizer's ``add_datasample``: ``dict(pred_score_thr=0.5)``.
    """

    def __init__(
        self,
        draw: bool = False,
        interval: int = 50,
        test_out_dir: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.draw = draw
        self.interval = interval
        self.test_out_dir = test_out_dir
        self.options = dict(options or {})

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[BaseDataElement] | None = None,
    ) -> None:
        """Draw the first image of the batch, if it is the turn of this batch."""
        step = training_progress(runner)[1] + batch_idx
        if self.draw and outputs and step % self.interval == 0:
            self._draw(runner, runner.val_dataloader, outputs[0], name="val_img", step=step)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[BaseDataElement] | None = None,
    ) -> None:
        """Draw each image of the batch."""
        if not self.draw:
            return
        for sample in outputs or ():
            path = Path(sample.img_path)
            place: dict[str, Any] = {"name": f"test_{path.name}", "step": batch_idx}
            if self.test_out_dir is not None:
                name = picture_name(path, sample.get("ann_id"))
                place["out_file"] = str(Path(self.test_out_dir) / name)
            self._draw(runner, runner.test_dataloader, sample, **place)

    def _draw(self, runner: Runner, loader: Any, sample: BaseDataElement, **place: Any) -> None:
        image = _load(_loading_step(loader.dataset), sample.img_path)
        if "pred_mask" in sample:
            # There is no second picture of the truth.
            place["draw_gt"] = False
        threshold = self.options.get("pred_score_thr", _DEFAULT_THRESHOLD)
        runner.visualizer.add_datasample(
            image=outlined(image, sample),
            data_sample=with_masks(sample, threshold, image.shape[:2]),
            **place,
            **self.options,
        )


def _loading_step(dataset: Any) -> BaseTransform:
    """What reads the images of a data set, also of one in wrappers; else ours with defaults."""
    while hasattr(dataset, "dataset") or hasattr(dataset, "datasets"):
        dataset = dataset.dataset if hasattr(dataset, "dataset") else dataset.datasets[0]
    readers = (TRANSFORMS.get("attnseg.LoadImage"), LoadImageFromFile)
    steps = getattr(getattr(dataset, "pipeline", None), "transforms", ())
    own = next((step for step in steps if isinstance(step, readers)), None)
    default = {"type": "attnseg.LoadImage", "channels": None, "stack": "middle"}
    return own or TRANSFORMS.build(default)


def _load(step: BaseTransform, path: str) -> NDArray[np.uint8]:
    return to_rgb(step({"img_path": path})["img"], bgr=True)
