"""Segment images with any model of ours, of mmdet or of mmseg.

Example:
    >>> result = segment("cells.tif", "mine.py", "iter_400.pth")
    >>> result.instances[0].score, result.instances[0].mask.shape
    >>> segment("folder", "mine.py", "iter_400.pth", out_dir="found").failed
"""

# ruff: noqa: E402

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

from attnseg.compat import MissingOperatorError, setup_env

# Users import this module first, and mmdet needs it.
setup_env()

from attnseg.apis.activations import inference_pipeline
from attnseg.apis.command import UsageError
from attnseg.apis.experiment import build_config
from attnseg.apis.inferencer import InputPipeline
from attnseg.apis.models import build_model, is_refinement
from attnseg.apis.refiner import MaskRefiner
from attnseg.apis.segment_files import (
    Given,
    Item,
    ResultWriter,
    SegmentReport,
    find_images,
    name_images,
)
from attnseg.apis.segmentation import (
    ClassList,
    Instance,
    Segmentation,
    classes_of,
    failed,
    to_segmentation,
    to_text,
)
from attnseg.engine.display import to_rgb
from attnseg.evaluation.masks import encode_masks

Strokes = Given | Sequence[Given]


def segment(
    images: Given | Sequence[Given],
    config: str | Path,
    weights: str | Path | None = None,
    *,
    strokes: Strokes | None = None,
    out_dir: str | Path | None = None,
    device: str | torch.device | None = None,
    score_thr: float = 0.3,
    recursive: bool = False,
    overwrite: bool = False,
    cfg_options: Mapping[str, Any] | None = None,
) -> Segmentation | Iterator[Segmentation] | SegmentReport:
    """Segment an image, several, or all of a folder.

    Files are read as ``tools/test.py`` reads them: PNG, JPEG, TIFF and others, of any depth and
    number of channels that the config's test set takes. One image after the other goes through the
    model, and memory holds no more than two results.

    Args:
        images: Path of an image or a folder, array (H, W) or (H, W, C) with colour in BGR, or a
            list of paths of images and arrays.
        config: File, name below ``configs/``, or ``package::folder/name.py``.
        weights: ``.pth`` or ``.safetensors``; the config's ``load_from`` if None.
        strokes: For configs of mask refinement, which need them. For one image a stroke or a list
            of strokes, each of which gives an object; for a folder the folder of PNGs that have
            the images' stems; for a list a list as long, of either. See
            :func:`~attnseg.apis.refine_inputs.read_mask`.
        out_dir: Folder to write into; see :class:`~attnseg.apis.segment_files.ResultWriter`.
        device: As torch names it; None: the GPU if there is one.
        score_thr: 0..1; objects of a lower score are left out. Maps are as the model gives them.
        recursive: Whether to look into the folders of a folder too.
        overwrite: Whether ``out_dir`` may have files already.
        cfg_options: Dotted keys -> values, which change the config.

    Returns:
        For one image its segmentation. For several: an iterator of them, which segments as it is
        read; images that could not be done have ``error`` set, and the others are done. With
        ``out_dir``, once all is written: a report.

    Raises:
        UsageError: Config, weights, device, strokes or folders do not fit, or there is no image.
        ValueError: One image was given, and it cannot be done; so FileNotFoundError.
        MissingOperatorError: The model needs an operator of mmcv that is not compiled.
    """
    items, several = _list_items(images, recursive, strokes)
    if out_dir is not None:
        _check_apart(images, Path(out_dir))
    segmenter = Segmenter(config, weights, device, score_thr, cfg_options)
    segmenter.check_strokes(items)
    if not several:
        result = segmenter(items[0].given, items[0].strokes)
        if out_dir is not None:
            ResultWriter(out_dir, segmenter.classes, overwrite).write_all(items, [result])
        return result
    results = segmenter.segment_all(items)
    if out_dir is None:
        return results
    return ResultWriter(out_dir, segmenter.classes, overwrite).write_all(items, results)


class Segmenter:
    """A model with its weights, ready to be called.

    Arguments and errors are those of :func:`segment`.
    """

    def __init__(
        self,
        config: str | Path,
        weights: str | Path | None = None,
        device: str | torch.device | None = None,
        score_thr: float = 0.3,
        cfg_options: Mapping[str, Any] | None = None,
    ) -> None:
        if not 0 <= score_thr <= 1:
            raise UsageError(f"--score-thr {score_thr}: scores are 0..1.")
        cfg = build_config(config, checkpoint=weights, cfg_options=cfg_options)
        if not cfg.get("load_from"):
            raise UsageError(
                f"{cfg.filename} names no weights (load_from): give the file of a training "
                "(.pth or .safetensors)."
            )
        self.score_thr = score_thr
        self._refiner: MaskRefiner | None = None
        if is_refinement(cfg):
            self._refiner = MaskRefiner(config, weights, device, cfg_options)
            self.classes = ClassList(("object",), (True,))
            return
        self._scope = cfg.get("default_scope") or "mmdet"
        self._pipeline = InputPipeline(inference_pipeline(cfg))
        self.model = build_model(cfg, device)
        self.classes = classes_of(self.model)

    def check_strokes(self, items: Sequence[Item]) -> None:
        """Raise a UsageError where images have strokes or lack them, unlike the model."""
        if self._refiner is None and any(item.strokes for item in items):
            raise UsageError("the config's model refines no strokes: leave strokes out.")
        if self._refiner is not None and not any(item.strokes for item in items):
            raise UsageError(
                "the config refines strokes: give strokes (--strokes), an image file for each "
                "image in which every value but 0 is painted."
            )

    def __call__(self, image: Given, strokes: Sequence[Given] = ()) -> Segmentation:
        """Segment one image.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is no image, has other channels than the config's, or a stroke
                does not fit.
        """
        item = name_images([image])[0]._replace(strokes=strokes)
        self.check_strokes([item])
        return self._segment(item)

    def segment_all(self, items: Sequence[Item]) -> Iterator[Segmentation]:
        """Segment one image after the other; those that cannot be done have ``error`` set."""
        for item in items:
            try:
                yield self._segment(item)
            except MissingOperatorError:
                raise
            except (ValueError, OSError, RuntimeError) as error:
                yield failed(item.name, " ".join(str(error).split()) or type(error).__name__)

    def _segment(self, item: Item) -> Segmentation:
        _check_given(item.given)
        if self._refiner is not None:
            return self._refine(item, self._refiner)
        try:
            read = self._pipeline.read(item.given)
        except ValueError as error:
            # The rest is advice for those who train.
            raise ValueError(str(error).partition(". Restore the file")[0]) from error
        image = to_rgb(read["img"], bgr=True)
        sample = self._pipeline.pack(read)
        scope = DefaultScope.overwrite_default_scope(self._scope)
        with scope, torch.no_grad():
            (found,) = self.model.test_step(pseudo_collate([sample]))
        return to_segmentation(found, item.name, image, self.classes, self.score_thr)

    def _refine(self, item: Item, refiner: MaskRefiner) -> Segmentation:
        if not item.strokes:
            raise ValueError(f"no stroke for '{item.name}': a PNG of its stem is needed.")
        image = refiner.read(item.given)
        masks = refiner.refine_many(item.given, item.strokes)
        found = []
        for mask in masks:
            (rle,) = encode_masks(mask[None], (mask.shape[0], mask.shape[1]), item.name)
            if mask.any():
                found.append(Instance(0, self.classes.names[0], 1.0, to_text(rle)))
        return Segmentation(
            item.name, to_rgb(image, bgr=True), self.classes.names, instances=tuple(found)
        )


def _list_items(images: Any, recursive: bool, strokes: Any) -> tuple[list[Item], bool]:
    """What to do, and whether it was given as several."""
    if isinstance(images, (str, Path)) and Path(images).is_dir():
        folder = Path(images)
        items = name_images(find_images(folder, recursive), folder)
        return _with_painted(items, strokes), True
    if isinstance(images, (str, Path, np.ndarray)):
        given = strokes if isinstance(strokes, (list, tuple)) else [strokes]
        item = name_images([images])[0]
        return [item._replace(strokes=[one for one in given if one is not None])], False
    if not isinstance(images, (list, tuple)):
        raise UsageError(f"images: a path, an array or a list of these, not {_kind(images)}.")
    items = name_images(images)
    if not items:
        raise UsageError("no image was given: the list is empty.")
    if strokes is None:
        return items, True
    if not isinstance(strokes, (list, tuple)) or len(strokes) != len(items):
        raise UsageError(f"strokes for {len(items)} images: a list of as many is needed.")
    return [
        item._replace(strokes=list(one) if isinstance(one, (list, tuple)) else [one])
        for item, one in zip(items, strokes, strict=True)
    ], True


def _with_painted(items: list[Item], strokes: Any) -> list[Item]:
    """Pair the images of a folder with the strokes of another."""
    if strokes is None:
        return items
    if not isinstance(strokes, (str, Path)) or not Path(strokes).is_dir():
        raise UsageError(
            f"strokes '{strokes}': for a folder of images, a folder of PNGs of their stems is "
            "needed."
        )
    found = [(item, Path(strokes, item.name).with_suffix(".png")) for item in items]
    if not any(path.is_file() for _, path in found):
        raise UsageError(f"'{strokes}' has no stroke: {found[0][1].name} for {items[0].name}.")
    return [item._replace(strokes=[path] if path.is_file() else []) for item, path in found]


def _check_given(given: Any) -> None:
    if isinstance(given, (str, Path)):
        if not Path(given).is_file():
            raise FileNotFoundError(f"image '{given}' does not exist (looked from {Path.cwd()}).")
    elif not isinstance(given, np.ndarray) or given.dtype.kind not in "biuf":
        raise ValueError(f"an image is a path or an array of numbers, not {_kind(given)}.")


def _kind(given: Any) -> str:
    return f"an array of {given.dtype}" if isinstance(given, np.ndarray) else type(given).__name__


def _check_apart(images: Any, out_dir: Path) -> None:
    """Never write among the images."""
    if isinstance(images, (str, Path)) and Path(images).is_dir():
        inside = out_dir.resolve()
        if Path(images).resolve() in (inside, *inside.parents):
            raise UsageError(
                f"out_dir '{out_dir}' lies in the folder of the images: give one beside it."
            )


__all__ = ["Segmentation", "SegmentReport", "Segmenter", "segment"]
