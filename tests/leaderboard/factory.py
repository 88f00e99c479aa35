"""Records of made-up runs, with real per-image statistics of the semantic metric."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attnseg.evaluation.bootstrap import intervals
from attnseg.evaluation.functional.area import AreaStatistics
from attnseg.per_image import ImageRef, PerImageTable, write_tables

CLASSES = ("sky", "road", "tree")
SETTINGS = {"void": 255, "ignore_index": None}


def table(
    quality: float,
    seed: int = 0,
    images: int = 40,
    classes: Sequence[str] = CLASSES,
    folder: str = "/data/images",
) -> PerImageTable:
    """Areas whose intersections are binomial: images are easy or hard for all runs alike."""
    shared, own = np.random.default_rng(7), np.random.default_rng(seed)
    union = shared.integers(200, 2000, (images, len(classes)))
    ease = shared.uniform(-0.25, 0.15, (images, 1))
    intersect = own.binomial(union, np.clip(quality + ease, 0.05, 0.95))
    extra = (union - intersect) // 2
    stats = AreaStatistics(intersect, union, intersect + extra, union - extra)
    refs = tuple(ImageRef(None, f"{folder}/{i:03d}.png") for i in range(images))
    return PerImageTable(
        "SemanticMetric", "semantic", SETTINGS, tuple(classes), refs, stats._asdict()
    )


def record(name: str, metrics: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A complete record; ``changes`` replace top-level entries, or parts of them."""
    seed = changes.get("seed", 0)
    content: dict[str, Any] = {
        "schema": 1,
        "id": f"20261121_090000-test-{name.replace('/', '_')}-{seed}",
        "mode": "test",
        "started": "2026-11-21T09:00:00+00:00",
        "finished": "2026-11-21T09:01:00+00:00",
        "name": name,
        "work_dir": f"/runs/{name}_{seed}",
        "config": {"file": f"configs/{name}.py", "hash": f"hash of {name}"},
        "checkpoint": {"file": f"/runs/{name}_{seed}/iter_400.pth", "sha256": "0" * 64},
        "git": {"revision": "f" * 40, "dirty": False},
        "data": {
            "type": "CamVid11",
            "split": "val",
            "annotations": "val",
            "hash": "a" * 64,
            "images": 40,
        },
        "evaluators": [
            {
                "type": "SemanticMetric",
                "prefix": "semantic",
                "settings": SETTINGS,
                "annotations": None,
            }
        ],
        "metrics": metrics,
        "intervals": {"level": 0.95, "resamples": 200, "seed": 0, "method": "image bootstrap"},
        "seed": seed,
        "world_size": 1,
        "tta": False,
        "iter": 400,
        "epoch": 3,
        "versions": {"attnseg": "0.1.0", "torch": "2.13.0"},
        "hardware": {"cpu": "Xeon", "cores": 2, "threads": 1, "gpu": None, "gpus": 0},
        "cost": {
            "params": 1_000_000,
            "macs": 2_000_000_000,
            "input": [1, 3, 128, 128],
            "batch_size": 1,
            "latency_ms_p50": 20.0,
            "latency_ms_p95": 25.0,
            "images_per_second": 45.0,
            "peak_memory_mib": 300.0,
            "device": "cpu",
            "training_seconds": None,
        },
        "command": f"python tools/test.py {name}.py",
        "per_image": None,
        "predictions": None,
    }
    for key, value in changes.items():
        merged = isinstance(content[key], dict) and isinstance(value, dict) and key != "metrics"
        content[key] = content[key] | value if merged else value
    return content


def write_run(
    folder: Path, content: dict[str, Any], statistics: PerImageTable | None = None
) -> Path:
    """Write a record as the hook does: ``<run folder>/<time>/record.json``."""
    time = folder / content["id"].partition("-")[0]
    time.mkdir(parents=True, exist_ok=True)
    if statistics is not None:
        write_tables(time / "per_image.npz", [statistics])
        content = content | {"per_image": "per_image.npz"}
    file = time / "record.json"
    file.write_text(json.dumps(content))
    return file


def measured_run(root: Path, name: str, quality: float, seed: int = 0, **changes: Any) -> Path:
    """Write a run whose metrics and intervals follow from its statistics."""
    statistics = table(quality, seed=seed + int(quality * 1000))
    found = intervals(statistics, resamples=100)
    metrics = {f"semantic/{key}": value._asdict() for key, value in found.items()}
    content = record(name, metrics, seed=seed, **changes)
    return write_run(root / f"{name}_{seed}", content, statistics)


def plain_run(root: Path, name: str, value: Any, seed: int | None = 0, **changes: Any) -> Path:
    """Write a run with one metric and no statistics."""
    metrics = {"semantic/mIoU": {"value": value, "low": None, "high": None}}
    return write_run(root / f"{name}_{seed}", record(name, metrics, seed=seed, **changes))
