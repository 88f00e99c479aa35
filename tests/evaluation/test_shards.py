"""Several processes, padded with repeated images, give the answer of one process."""

import copy
import os
import pickle
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.dist import init_dist

from attnseg.compat import setup_env
from attnseg.evaluation import (
    BoundaryMetric,
    CellMetric,
    CocoInstanceMetric,
    PanopticMetric,
    SemanticMetric,
)

CLASSES = ("a", "b", "c")
META = {"classes": CLASSES, "thing_classes": ("a", "b")}
SIZE = (9, 14)
IMAGES = 5


@pytest.fixture
def case(panoptic_files) -> tuple[dict[str, Any], list[dict]]:
    """Random panoptic truth on files, and noisy predictions of all three kinds."""
    rng = np.random.default_rng(0)
    maps, segments, samples = {}, {}, []
    for img_id in range(IMAGES):
        ids = np.repeat(np.repeat(rng.integers(0, 6, (3, 7)), 3, 0), 2, 1)
        labels = rng.integers(0, 3, 6)
        maps[img_id] = ids
        present = [i for i in range(1, 6) if (ids == i).any()]
        segments[img_id] = [(i, 10 + int(labels[i]), int(i == 5)) for i in present]
        noisy = np.where(rng.random(SIZE) < 0.2, rng.integers(1, 6), ids)
        values = np.where(noisy == 0, 3, labels[noisy] + 1000 * noisy)
        gt = [i for i in present if labels[i] < 2]
        samples.append(
            {
                "img_id": img_id,
                "ori_shape": SIZE,
                "pred_panoptic_seg": {"sem_seg": torch.from_numpy(values)[None]},
                "gt_instances": {
                    "masks": np.stack([ids == i for i in gt]) if gt else np.zeros((0, *SIZE)),
                    "labels": torch.tensor([labels[i] for i in gt]),
                },
                "pred_instances": {
                    "masks": torch.from_numpy(np.stack([noisy == i for i in range(1, 6)])),
                    "labels": torch.from_numpy(labels[1:]),
                    # Ties across images: their order must not depend on the processes.
                    "scores": torch.tensor([0.5, 0.5, 0.7, 0.7, 0.9]),
                },
            }
        )
    files = panoptic_files(maps, segments, [(10, "a", 1), (11, "b", 1), (12, "c", 0)])
    return files, samples


def _metrics(files: dict[str, str], folder: str | None = None) -> list[Any]:
    metrics = [
        CocoInstanceMetric(classwise=True, collect_dir=folder),
        CellMetric(classwise=True, collect_dir=folder),
        BoundaryMetric(**files, classwise=True, collect_dir=folder),
        PanopticMetric(**files, classwise=True, collect_dir=folder),
        SemanticMetric(**files, classwise=True, collect_dir=folder),
    ]
    for metric in metrics:
        metric.dataset_meta = META
    return metrics


def _single(case) -> list[dict[str, float]]:
    files, samples = case
    results = []
    for metric in _metrics(files):
        metric.process(None, samples)
        results.append(metric.evaluate(IMAGES))
    return results


def _same(left: dict[str, float], right: dict[str, float]) -> bool:
    return left.keys() == right.keys() and np.array_equal(
        list(left.values()), list(right.values()), equal_nan=True
    )


def test_entries_of_shards_add_up_exactly(case) -> None:
    files, samples = case
    # Two processes of three: the sampler repeats the first image in the second one.
    shards = [samples[0::2], [*samples[1::2], samples[0]]]
    for metric, expected in zip(_metrics(files), _single(case), strict=True):
        entries = []
        for shard in shards:
            worker = copy.deepcopy(metric)
            worker.process(None, shard)
            entries += pickle.loads(pickle.dumps(worker.results))
        assert len(entries) == IMAGES + 1
        for collected in (entries, entries[::-1]):
            values = metric.compute_metrics(collected)
            assert _same({f"{metric.prefix}/{k}": v for k, v in values.items()}, expected)


def _worker(rank: int, shared: Path, files: dict, shards: list[list[dict]], port: int) -> None:
    os.environ |= {
        "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    setup_env()
    init_dist("pytorch", backend="gloo")
    results = []
    for index, metric in enumerate(_metrics(files)):
        metric.collect_dir = str(shared / f"collect{index}")
        metric.process(None, shards[rank])
        results.append(metric.evaluate(IMAGES))
    torch.save(results, shared / f"rank{rank}.pt")


@pytest.mark.slow
def test_two_processes_with_unequal_shards(case, tmp_path: Path) -> None:
    files, samples = case
    # Unequal shares would lose images in mmengine's own collection.
    shards = [samples[:4], [samples[4], samples[0]]]

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(_worker, args=(tmp_path, files, shards, port), nprocs=2)
    for rank in range(2):
        results = torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)
        assert all(map(_same, results, _single(case)))


def test_size_that_differs_is_warned_of(case, monkeypatch) -> None:
    files, samples = case
    metric = _metrics(files)[-1]
    messages: list[str] = []
    monkeypatch.setattr(metric, "log", lambda text, *level: messages.append(text))
    metric.process(None, samples[:3])
    metric.evaluate(IMAGES)
    assert "3 different images were evaluated, the data set says 5." in messages
