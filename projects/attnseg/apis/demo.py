"""The main job on one machine: train, evaluate and draw panoptic MaskAttn-UNet."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.structures import INSTANCE_OFFSET
from mmengine.config import Config
from mmengine.runner import Runner

from attnseg.apis.experiment import (
    UsageError,
    build_config,
    config_folders,
    replace_data_root,
    run_train,
)
from attnseg.apis.picture import (
    Image,
    colour_classes,
    colour_panoptic,
    draw_panels,
    pca_rgb,
)
from attnseg.apis.schedule import shorten_training
from attnseg.datasets.demo import generate_demo_set
from attnseg.engine.atomic import write_json
from attnseg.maskattn_unet.targets import NO_INSTANCE, instance_map

DEMO_LEAF = "maskattn_unet/maskattn-unet_small_1xb8-400i_demo-panoptic-128x128.py"
COLUMNS = {
    "PQ": "panoptic/PQ",
    "PQ_th": "panoptic/PQ_th",
    "PQ_st": "panoptic/PQ_st",
    "SQ": "panoptic/SQ",
    "RQ": "panoptic/RQ",
    "AP": "coco/AP",
    "AP50": "coco/AP50",
    "mIoU": "semantic/mIoU",
}
TITLES = ("input", "ground truth", "semantic", "embedding (PCA)", "panoptic")
SPLITS = ("train", "val")


def choose_config(data: Path) -> str:
    """The small panoptic leaf made for a data folder of this name, else the demo set's."""
    for folder in config_folders():
        for leaf in sorted(folder.glob("maskattn_unet/*_small_*panoptic*.py")):
            if Path(Config.fromfile(leaf).data_root).name == data.name:
                return str(leaf)
    return DEMO_LEAF


def _check_layout(data: Path) -> None:
    """Name all that the run would miss, before it trains.

    Raises:
        UsageError: if a file or folder is missing.
    """
    if not data.is_dir():
        raise UsageError(f"--data: folder '{data}' not found; leave it out to generate a set.")
    needed = [f"{kind}/{split}" for kind in ("images", "panoptic") for split in SPLITS]
    needed += [f"annotations/panoptic_{split}.json" for split in SPLITS]
    needed += ["annotations/instances_val.json"]
    missing = [name for name in needed if not (data / name).exists()]
    if missing:
        raise UsageError(
            f"--data: '{data}' lacks {', '.join(missing)}; tools/make_demo_set.py writes an "
            "example of the layout."
        )


def _count_classes(cfg: Config, data: Path) -> None:
    """Take the numbers of classes from the data set."""
    categories = json.loads((data / "annotations/panoptic_train.json").read_text())["categories"]
    things = sum(bool(category.get("isthing", 1)) for category in categories)
    cfg.model.head.update(num_things=things, num_stuff=len(categories) - things)


def demo_config(data: Path | None, work_dir: Path, iterations: int | None) -> Config:
    """Config of the demo on a folder, or on the demo set, which is generated where it lacks.

    Raises:
        UsageError: if the folder has not the demo set's layout.
    """
    if data is None:
        data = generate_demo_set(work_dir / "data", num_train=400, num_val=50)
    _check_layout(data)
    leaf = choose_config(data)
    cfg = build_config(leaf, work_dir=work_dir)
    _count_classes(cfg, data)
    replace_data_root(cfg, str(data))
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if iterations is not None:
        shorten_training(cfg, iterations)
    cfg.train_cfg.val_interval = cfg.train_cfg.max_iters
    cfg.custom_hooks.append({"type": "attnseg.ProgressHook"})
    cfg.log_level = "WARNING"
    return cfg


def _ground_truth(sample: Any, num_classes: int) -> np.ndarray:
    """Panoptic map (H, W) of a sample's ground truth."""
    masks = sample.gt_instances.masks
    semantic = sample.gt_sem_seg.sem_seg[0].cpu().numpy().astype(np.int64)
    semantic[semantic >= num_classes] = num_classes
    ids = instance_map(masks.to_tensor(torch.bool, "cpu")).numpy()
    found = ids != NO_INSTANCE
    labels = sample.gt_instances.labels.cpu().numpy()
    semantic[found] = labels[ids[found]] + INSTANCE_OFFSET * (ids[found] + 1)
    return semantic


def _row(model: Any, data: dict, num_classes: int) -> list[Image]:
    """The five pictures of one image."""
    batch = model.data_preprocessor(data, False)
    with torch.no_grad():
        _, embedding = model(batch["inputs"], mode="tensor")
        (sample,) = model(batch["inputs"], batch["data_samples"], mode="predict")
    picture = data["inputs"][0].numpy()[::-1].transpose(1, 2, 0)
    panoptic = sample.pred_panoptic_seg.sem_seg[0].cpu().numpy()
    things = sample.pred_sem_seg.sem_seg[0] < model.head.num_things
    small = torch.nn.functional.interpolate(
        things[None, None].float(), embedding.shape[-2:], mode="nearest"
    )[0, 0]
    height, width = panoptic.shape

    def enlarge(tile: Image) -> Image:
        return cv2.resize(tile, (width, height), interpolation=cv2.INTER_NEAREST)

    return [
        enlarge(np.ascontiguousarray(picture, np.uint8)),
        colour_panoptic(_ground_truth(sample, num_classes), num_classes),
        colour_classes(sample.pred_sem_seg.sem_seg[0].cpu().numpy(), num_classes),
        enlarge(pca_rgb(embedding[0].cpu().numpy(), small.bool().cpu().numpy())),
        colour_panoptic(panoptic, num_classes),
    ]


def draw(runner: Runner, path: Path, count: int = 4) -> Path:
    """Draw images spread over the test set: input, truth, semantic, embedding, panoptic."""
    model, dataset = runner.model.eval(), runner.test_dataloader.dataset
    collate = runner.test_dataloader.collate_fn
    chosen = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)
    rows = [_row(model, collate([dataset[int(i)]]), model.head.num_classes) for i in chosen]
    return draw_panels(rows, TITLES, path)


def run_demo(
    data: str | Path | None = None,
    work_dir: str | Path = "work_dirs/demo",
    iterations: int | None = None,
) -> dict[str, dict[str, float]]:
    """Train, evaluate with clustering and with connected components, draw, and print.

    Args:
        data: folder in the demo set's layout; generated below ``work_dir`` if None.
        work_dir: run folder, which gets checkpoint, ``result.json``, ``demo.json``, ``demo.png``.
        iterations: training steps in place of the config's.

    Returns:
        Metrics (fractions) of both groupings: ``embedding`` and ``components``.

    Raises:
        UsageError: if the folder is missing or has another layout.
    """
    begin = time.perf_counter()
    work_dir = Path(work_dir)
    cfg = demo_config(Path(data) if data is not None else None, work_dir, iterations)
    print(f"data: {cfg.data_root}; config: {Path(cfg.filename).name}; run folder: {work_dir}")
    runner = run_train(cfg)
    results = {}
    chosen = runner.model.assembly
    # The config's own grouping comes last, so that it is the one in result.json.
    for method in ("components", "embedding"):
        runner.model.assembly = replace(chosen, method=method)
        results[method] = runner.test()
    write_json(work_dir / "demo.json", results)
    picture = draw(runner, work_dir / "demo.png")
    _print(results)
    print(f"picture: {picture}")
    print(f"wall time: {time.perf_counter() - begin:.0f} s")
    return results


def _print(results: dict[str, dict[str, float]]) -> None:
    print(f"{'in percent':<22}" + "".join(f"{name:>8}" for name in COLUMNS))
    names = {"embedding": "embedding clustering", "components": "connected components"}
    for method, name in names.items():
        values = [100 * results[method].get(key, float("nan")) for key in COLUMNS.values()]
        print(f"{name:<22}" + "".join(f"{value:8.1f}" for value in values))
