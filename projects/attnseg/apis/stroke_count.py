"""How many strokes a mask takes: NoC, the measure of interactive segmentation.

A simulated user paints the coarse mask of an object, then corrects the answer stroke by stroke
(`attnseg.mask_refine.correction_strokes`). NoC@90 is the mean number of strokes until the IoU
reaches 0.90, the first one included; objects that never reach it count with the greatest number
(Sofiiuk et al., arXiv:2102.06583, section 4, whose strokes are clicks).
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from attnseg._atomic import write_json
from attnseg.apis.command import UsageError, input_errors
from attnseg.apis.config_errors import OptionAction
from attnseg.apis.experiment import build_config
from attnseg.apis.refiner import MaskRefiner
from attnseg.datasets.transforms.image import to_bytes
from attnseg.engine.config_hash import type_name
from attnseg.file_hash import file_hash
from attnseg.mask_refine.correction_strokes import next_correction

GOALS = (0.90, 0.95)


class Curve(NamedTuple):
    """IoU of an object after each stroke.

    Attributes:
        img_id: its image.
        ann_id: the object.
        ious: (strokes,), in [0, 1]; the first after the coarse mask.
    """

    img_id: Any
    ann_id: Any
    ious: list[float]


def paint_object(
    refiner: MaskRefiner,
    image: NDArray[np.uint8],
    coarse: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    strokes: int,
    goal: float = 1.0,
) -> list[float]:
    """IoU after each stroke of the simulated user, who stops at the goal.

    Args:
        refiner: the model.
        image: (H, W, 3) in BGR.
        coarse: (H, W), the first stroke.
        truth: (H, W).
        strokes: the most that are painted, at least 1.
        goal: IoU at which nothing more is painted.
    """
    mask = refiner(image, coarse)
    add, remove = (np.zeros(truth.shape, dtype=bool) for _ in range(2))
    ious = [_iou(mask, truth)]
    while len(ious) < strokes and ious[-1] < goal:
        found = next_correction(mask, truth)
        if found is None:
            break
        kept, undone = (add, remove) if found.adds else (remove, add)
        kept |= found.stroke
        undone &= ~found.stroke
        if not ((mask | add) & ~remove).any():
            # All that the model knows of the object was removed: the user begins anew.
            mask = coarse & ~remove
        if ((mask | add) & ~remove).any():
            mask = refiner(image, mask, add=add, remove=remove)
        ious.append(_iou(mask, truth))
    return ious


def strokes_to(ious: Sequence[float], goal: float, most: int) -> int:
    """Number of strokes until the IoU reaches the goal; ``most`` where it never does."""
    reached = np.flatnonzero(np.asarray(ious[:most]) >= goal)
    return int(reached[0]) + 1 if reached.size else most


def summarize(curves: Sequence[Curve], most: int, resamples: int = 1000) -> dict[str, Any]:
    """NoC with 95 % intervals over resampled images, failures, and IoU after some strokes.

    An object that stopped early keeps its last IoU.
    """
    images = sorted({str(curve.img_id) for curve in curves})
    place = np.array([images.index(str(curve.img_id)) for curve in curves])
    rng = np.random.default_rng(0)
    weights = rng.multinomial(len(images), [1 / len(images)] * len(images), resamples)[:, place]
    found: dict[str, Any] = {"objects": len(curves), "images": len(images), "most": most}

    def put(name: str, values: Iterable[float]) -> None:
        per_object = np.array(list(values), dtype=np.float64)
        means = weights @ per_object / weights.sum(1)
        found[name] = [float(per_object.mean()), *map(float, np.percentile(means, [2.5, 97.5]))]

    for goal in GOALS:
        counts = [strokes_to(curve.ious, goal, most) for curve in curves]
        put(f"NoC@{goal * 100:.0f}", counts)
        found[f"failed@{goal * 100:.0f}"] = sum(max(curve.ious[:most]) < goal for curve in curves)
    for count in sorted({1, 2, 3, 5, 10, most}):
        if count <= most:
            put(f"IoU after {count}", (curve.ious[:count][-1] for curve in curves))
    return found


def count_strokes(
    config: str | Path,
    weights: str | Path | None = None,
    data: str | None = None,
    strokes: int = 20,
    objects: int | None = None,
    out: str | Path | None = None,
    cfg_options: dict[str, Any] | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Measure NoC on the test set of a config.

    Objects without a pixel (polygons outside their image) are left out and counted.

    Args:
        config: of mask refinement, as of :class:`MaskRefiner`.
        weights: as of :class:`MaskRefiner`.
        data: folder of the data set in place of the config's.
        strokes: the most for each object.
        objects: so many objects, evenly spread; all if None.
        out: json file for the summary and the curves.
        cfg_options: dotted keys -> values.
        device: as of :class:`MaskRefiner`.

    Returns:
        See :func:`summarize`; ``skipped`` is the number of objects without a pixel.

    Raises:
        UsageError: for numbers below 1, a config that cannot refine, or where no object has a
            pixel.
    """
    if strokes < 1 or (objects is not None and objects < 1):
        raise UsageError(f"strokes ({strokes}) and objects ({objects}) must be 1 or more.")
    refiner = MaskRefiner(config, weights, device, cfg_options)
    dataset = _objects(build_config(config, data=data, cfg_options=cfg_options))
    total = len(dataset) if objects is None else min(objects, len(dataset))
    curves, skipped = [], 0
    for place in tqdm(np.linspace(0, len(dataset) - 1, total).round().astype(int), unit="object"):
        sample = dataset[int(place)]
        image = to_bytes(sample["img"])
        coarse, truth = (sample[key].astype(bool) for key in ("coarse_mask", "gt_mask"))
        if not truth.any():
            skipped += 1
            continue
        ious = paint_object(refiner, image, coarse, truth, strokes, max(GOALS))
        curves.append(Curve(sample["img_id"], sample["ann_id"], ious))
    if not curves:
        raise UsageError(f"{dataset.ann_file}: none of its {total} objects has a pixel.")
    found = summarize(curves, strokes) | {"skipped": skipped}
    if out is not None:
        record = {"config": str(Path(config).name), "weights": None, "summary": found}
        if weights is not None:
            record["weights"] = file_hash(weights)
        write_json(out, record | {"objects": [curve._asdict() for curve in curves]})
    return found


def _objects(cfg: Any) -> Any:
    """The test set up to its coarse masks, at the images' own size."""
    from attnseg.datasets import ObjectMaskDataset

    chosen = dict(cfg.test_dataloader.dataset)
    steps = list(chosen["pipeline"])
    names = [type_name(step) for step in steps]
    if "CoarseMask" not in names:
        raise UsageError(
            f"{cfg.filename}: the pipeline of test_dataloader.dataset draws no coarse masks: "
            "attnseg.CoarseMask with a seed is needed, to count strokes."
        )
    chosen["pipeline"] = steps[: names.index("CoarseMask") + 1]
    chosen.pop("type")
    with input_errors():
        return ObjectMaskDataset(**chosen)


def _iou(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``tools/count_strokes.py``."""
    parser.add_argument("config", help="config of mask refinement")
    parser.add_argument("weights", nargs="?", help=".pth or .safetensors; else its load_from")
    parser.add_argument("--data", metavar="DIR", help="data folder in place of the config's")
    parser.add_argument("--strokes", type=int, default=20, help="the most for each object")
    parser.add_argument("--objects", type=int, metavar="N", help="N objects, evenly spread")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 (default: cpu)")
    parser.add_argument("--out", metavar="FILE.json", help="write the summary and all curves")
    parser.add_argument(
        "--cfg-options", nargs="+", action=OptionAction, metavar="KEY=VALUE", help="config changes"
    )


def describe(found: Mapping[str, Any]) -> str:
    """The summary as lines of text."""
    lines = [
        f"{found['objects']} objects of {found['images']} images, at most {found['most']} strokes"
    ]
    if found.get("skipped"):
        lines.append(f"{found['skipped']} more left out: no pixel of them lies in their image")
    for name, value in found.items():
        if isinstance(value, list):
            lines.append(f"{name:<14}{value[0]:8.3f}  [{value[1]:.3f}, {value[2]:.3f}]")
        elif name.startswith("failed"):
            lines.append(f"{name:<14}{value:8d}")
    return "\n".join(lines)
