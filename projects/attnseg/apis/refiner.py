"""Refine one mask of one image, with any model of mask refinement.

Example:
    >>> refiner = MaskRefiner("refine_best", "refine_best.safetensors")
    >>> mask = refiner("horse.jpg", "stroke.png")
    >>> mask = refiner("horse.jpg", mask, remove="second_stroke.png")
"""

import argparse
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from numpy.typing import NDArray

from attnseg.apis.command import UsageError
from attnseg.apis.experiment import build_config
from attnseg.apis.models import build_model, is_refinement
from attnseg.apis.refine_inputs import Given, check_image, fault_of, read_mask
from attnseg.datasets.mixin import own_loader
from attnseg.datasets.transforms.image import to_bytes
from attnseg.engine.config_hash import type_name

Mask = NDArray[np.bool_]

# What a training needs and a user's own stroke takes the place of.
_NEED_TRUTH = {"LoadObjectMask", "CoarseMask"}

# A network on whole images keeps about 1 KB for each of them.
_BATCH_PIXELS = 1 << 20


class MaskRefiner:
    """A model of mask refinement with its weights, ready to be called.

    Args:
        config: file, name below ``configs/`` or ``package::folder/name.py``.
        weights: ``.pth`` or ``.safetensors``; the config's ``load_from`` if None.
        device: as torch names it.
        cfg_options: dotted keys -> values, which change the config.

    Raises:
        UsageError: the config is none of mask refinement, there are no weights, they do not fit
            the config, or there is no such device.
    """

    def __init__(
        self,
        config: str | Path,
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
        cfg_options: Mapping[str, Any] | None = None,
    ) -> None:
        cfg = build_config(config, checkpoint=weights, cfg_options=cfg_options)
        if not is_refinement(cfg):
            raise UsageError(
                f"{cfg.filename} is a config of {(cfg.get('model') or {}).get('type')}: "
                "attnseg.MaskRefinementModel is needed. Choose a config below "
                "configs/mask_refine/."
            )
        if not cfg.get("load_from"):
            raise UsageError(
                f"{cfg.filename} names no weights (load_from): give the file of a training "
                "(.pth), or one that was converted (.safetensors)."
            )
        self.model = build_model(cfg, device)
        with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mmdet")):
            self.steps = refinement_pipeline(cfg)
        # A user's stroke has no truth to compute a loss with.
        self.model.test_cfg["loss"] = False

    @torch.no_grad()
    def __call__(
        self, image: Given, stroke: Given, add: Given | None = None, remove: Given | None = None
    ) -> Mask:
        """Refine a stroke, or correct a mask.

        For a correction ``stroke`` is the mask so far, and ``add`` and ``remove`` are what was
        painted upon it: (stroke | add) & ~remove goes into the model.

        Args:
            image: path, or array (H, W) or (H, W, 3) in BGR; deep ones are stretched. Alpha, a
                fourth channel, is left out.
            stroke: path of an image file, or array (H, W) or (H, W, C), see
                :func:`~attnseg.apis.refine_inputs.read_mask`; every value but 0 is foreground.
            add: the same, or None.
            remove: the same, or None.

        Returns:
            Mask (H, W).

        Raises:
            FileNotFoundError: a file does not exist.
            ValueError: a file is no image, an array holds no numbers, sizes differ, or nothing is
                left of the stroke.
        """
        return self._predict([self.prepare(image, stroke, add, remove)])[0]

    @torch.no_grad()
    def refine_many(
        self, image: Given, strokes: Sequence[Given], batch_size: int = 8
    ) -> list[Mask]:
        """Refine several objects of one image, which is read once.

        Args:
            image: as of the call.
            strokes: one for each object; errors as of the call.
            batch_size: greatest number of objects that go through the model at once; fewer where
                a config refines whole images and these are large.

        Returns:
            A mask (H, W) for each stroke.
        """
        pixels = self.read(image)
        masks: dict[int, Mask] = {}
        # One size a batch: padding would change what is found.
        waiting: dict[tuple[int, ...], dict[int, dict[str, Any]]] = defaultdict(dict)

        def refine(samples: dict[int, dict[str, Any]]) -> None:
            masks.update(zip(samples, self._predict(list(samples.values())), strict=True))
            samples.clear()

        for number, stroke in enumerate(strokes):
            sample = self.prepare(pixels, stroke)
            size = sample["inputs"].shape[-2:]
            waiting[size][number] = sample
            if len(waiting[size]) >= min(batch_size, math.ceil(_BATCH_PIXELS / math.prod(size))):
                refine(waiting[size])
        for samples in waiting.values():
            if samples:
                refine(samples)
        return [masks[number] for number in range(len(strokes))]

    def read(self, image: Given) -> NDArray[np.uint8]:
        """Read an image as the model gets it: (H, W, 3) in BGR. Errors as of the call."""
        return self._read(image)["img"]

    def _predict(self, samples: list[dict[str, Any]]) -> list[Mask]:
        found = self.model.test_step(pseudo_collate(samples))
        return [sample.pred_mask.cpu().numpy().astype(bool) for sample in found]

    def prepare(
        self, image: Given, stroke: Given, add: Given | None = None, remove: Given | None = None
    ) -> dict[str, Any]:
        """Pack a sample for the model. Arguments and errors as of the call."""
        results = self._read(image)
        size = results["img"].shape[:2]
        name = f"'{image}'" if isinstance(image, (str, Path)) else "the image"
        coarse = read_mask(stroke, size, "stroke", name)
        for key, given in (("add", add), ("remove", remove)):
            if given is not None:
                results[key] = read_mask(given, size, key, name)
        if add is not None:
            coarse = coarse | results["add"]
        if remove is not None:
            coarse = coarse & (1 - results["remove"])
        if not coarse.any():
            raise ValueError(
                f"the stroke on {name} is empty: no pixel differs from 0"
                + (" after what is to be removed" if remove is not None else "")
                + ". Paint over the object first."
            )
        results["coarse_mask"] = coarse
        for step in self.steps[1:]:
            results = step(results)
        return results

    def _read(self, image: Given) -> dict[str, Any]:
        given: dict[str, Any] = {"img_id": 0, "ann_id": 0, "img_path": None}
        image = check_image(image)
        if isinstance(image, (str, Path)):
            try:
                results = self.steps[0](given | {"img_path": str(image)})
            except ValueError as error:
                raise ValueError(fault_of(error, image, f"image '{image}'")) from error
        else:
            results = self.steps[0](given | {"img": image})
        results["img"] = to_bytes(results["img"])
        return results


def refinement_pipeline(cfg: Any) -> list[Any]:
    """The transforms of a config's test set for strokes of a user; the reader comes first.

    Steps that read true masks or draw coarse ones are left out.

    Raises:
        UsageError: the config has no such pipeline.
    """
    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    steps = own_loader([dict(step) for step in dataset.get("pipeline") or ()])
    steps = [step for step in steps if type_name(step) not in _NEED_TRUTH]
    names = [type_name(step) for step in steps]
    if len(names) < 2 or names[0] != "LoadImage" or names[-1] != "PackRefinement":
        raise UsageError(
            f"{cfg.filename}: the pipeline of test_dataloader.dataset must begin with "
            "attnseg.LoadImage and end with attnseg.PackRefinement, to refine strokes."
        )
    # There are no true masks to keep.
    steps[-1]["keep_masks"] = False
    return list(Compose(steps).transforms)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of :class:`MaskRefiner` to a command line."""
    from attnseg.apis.config_errors import OptionAction

    parser.add_argument(
        "--config", required=True, help="file, name below configs/, or package::folder/name.py"
    )
    parser.add_argument("--weights", help=".pth or .safetensors (default: config's load_from)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 (default: cpu)")
    parser.add_argument("--cfg-options", nargs="+", action=OptionAction, help="key=value ...")
