"""Part that all data sets of ours share: fraction of the images, and errors that say the fix."""

import logging
from collections import Counter
from collections.abc import Sequence
from os import path as osp
from pathlib import Path
from traceback import walk_tb
from typing import Any

from mmengine.fileio import list_dir_or_file
from mmengine.logging import print_log

from ..errors import SampleError
from .checks import select_fraction


def own_loader(pipeline: Sequence[Any]) -> list[Any]:
    """Read a bare ``LoadImageFromFile`` as ``attnseg.LoadImage``.

    mmdet's and mmseg's inferencers look for the first name in a test pipeline, so that configs
    must use it there; with any argument it is left as it is.
    """
    return [
        {"type": "attnseg.LoadImage"} if step == {"type": "LoadImageFromFile"} else step
        for step in pipeline
    ]


def _objects(info: dict[str, Any]) -> Any:
    return info.get("instances") or info.get("segments_info") or ()


def _is_own(error: Exception) -> bool:
    """Whether one of our own data sets or transforms raised it: it says what is wrong."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    return Path(__file__).parent in Path(frame.f_code.co_filename).parents


class CheckedDataset:
    """Mixin in front of a mmengine ``BaseDataset``.

    Keeps a seeded part of the images, refuses to be empty, notes the number of classes in every
    sample, so that :class:`~attnseg.datasets.transforms.check.CheckSample` knows it, and names the
    image in whose reading something fails.
    """

    fraction: float
    fraction_seed: int

    def _set_fraction(self, fraction: float, fraction_seed: int) -> None:
        select_fraction(1, fraction, fraction_seed)
        self.fraction, self.fraction_seed = fraction, fraction_seed

    def filter_data(self) -> list[dict[str, Any]]:
        """Filter as the base class does, then keep the fraction.

        Raises:
            ValueError: If no image is left: how many of how many, and why.
        """
        found = self.data_list
        kept = super().filter_data()
        if not kept:
            raise ValueError(self._explain_empty(found))
        if self.ann_file and not any(part for info in kept for part in _objects(info)):
            print_log(
                f"none of the {len(kept)} images of '{self.ann_file}' has an object: losses and "
                "scores of objects will mean nothing.",
                "current",
                logging.WARNING,
            )
        num_classes = len(self.metainfo["classes"])
        for info in kept:
            info["num_classes"] = num_classes
        if self.fraction == 1:
            return kept
        return [kept[i] for i in select_fraction(len(kept), self.fraction, self.fraction_seed)]

    def prepare_data(self, idx: int) -> Any:
        """Read one sample, as the base class does.

        Raises:
            SampleError: In place of an error of a transform that says not for which image; a
                data worker hands over nothing but the text.
        """
        try:
            return super().prepare_data(idx)
        except Exception as error:
            image = str(self.get_data_info(idx).get("img_path", ""))
            if not image or osp.basename(image) in str(error) or _is_own(error):
                raise
            raise SampleError(f"image '{image}': {type(error).__name__}: {error}") from error

    def _explain_empty(self, found: list[dict[str, Any]]) -> str:
        where = self.ann_file or self.data_prefix.get("img_path", "")
        lead = f"0 of {len(found)} images left of '{where}'"
        if not found:
            return f"{lead}: {self._explain_none()}"
        cfg = self.filter_cfg or {}
        reasons = []
        if cfg.get("filter_empty_gt"):
            empty = sum(not info.get("instances") for info in found)
            reasons.append(
                f"{empty} have no object of the classes {self.metainfo['classes']} "
                "(filter_cfg.filter_empty_gt=True; set it to False to keep images without objects)"
            )
        if cfg.get("min_size"):
            small = sum(min(info["width"], info["height"]) < cfg["min_size"] for info in found)
            reasons.append(f"{small} have a side under filter_cfg.min_size={cfg['min_size']}")
        return f"{lead}: {'; '.join(reasons)}."

    def _explain_none(self) -> str:
        folder = self.data_prefix.get("img_path") or ""
        suffix = getattr(self, "img_suffix", "")
        if self.ann_file or not folder:
            return "the file lists none."
        suffixes = Counter(
            osp.splitext(name)[1] or "no suffix"
            for name in list_dir_or_file(folder, list_dir=False, recursive=True)
        )
        has = ", ".join(f"{count} x {name}" for name, count in suffixes.most_common(5))
        return (
            f"no file there ends in '{suffix}' (img_suffix); the folder holds "
            f"{has or 'no file at all'}. Correct img_suffix or data_prefix.img_path."
        )
