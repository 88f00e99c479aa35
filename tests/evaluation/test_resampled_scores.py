"""Weights of images in the scores of cells and boundaries mean repeated and missing images."""

import dataclasses

import numpy as np
import pytest
import torch

from attnseg.evaluation import BoundaryMetric, CellMetric
from attnseg.evaluation.scores import score
from attnseg.per_image import PerImageTable

WEIGHTS = np.array([[1, 1, 1, 1], [0, 3, 1, 0], [0, 0, 0, 4], [2, 0, 0, 2]])


def _blocks(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    small = rng.integers(0, 4, (size[0] // 6 + 1, size[1] // 6 + 1))
    return np.kron(small, np.ones((6, 6), dtype=int))[: size[0], : size[1]]


def _samples() -> list[dict]:
    """Four images; the last has neither cells nor the classes b to d."""
    rng = np.random.default_rng(0)
    samples = []
    for index, size in enumerate([(30, 40), (25, 31), (47, 20), (12, 12)]):
        label = _blocks(rng, size) * (index < 3)
        pred = np.where(rng.random(size) < 0.9, np.roll(label, 1, 1), 0)
        fields = {}
        for name, values in (("gt_instances", label), ("pred_instances", pred)):
            fields[name] = {
                "masks": np.stack([values == i for i in (1, 2, 3)])[: 3 * (index < 3)],
                "labels": torch.tensor([0, 1, 2][: 3 * (index < 3)]),
                "scores": torch.ones(3 * (index < 3)),
            }
        samples.append(fields | {
            "img_id": index,
            "ori_shape": size,
            "pred_sem_seg": {"data": torch.from_numpy(pred)[None]},
            "gt_sem_seg": {"data": torch.from_numpy(label)[None]},
        })  # fmt: skip
    return samples


def _repeated(table: PerImageTable, counts: np.ndarray) -> PerImageTable:
    images = len(table.images)
    arrays = {
        key: np.repeat(values, counts, axis=0)
        if len(values) == images and key != "group"
        else values
        for key, values in table.arrays.items()
    }
    names = tuple(np.repeat(np.arange(images), counts).tolist())
    return dataclasses.replace(table, images=names, arrays=arrays)


@pytest.mark.parametrize("kind", [CellMetric, BoundaryMetric])
def test_weights_are_repetitions(evaluate, kind: type) -> None:
    metric = kind()
    evaluate(metric, ("a", "b", "c", "d"), _samples())
    resampled = score(metric.table, WEIGHTS)
    for row, counts in enumerate(WEIGHTS):
        expected = score(_repeated(metric.table, counts))
        assert expected.keys() == resampled.keys()
        for key, values in expected.items():
            assert resampled[key][row] == pytest.approx(values[0], abs=1e-12, nan_ok=True), key
    # The third draw has the last image only: some values are not defined then.
    assert np.isnan(resampled["F1" if kind is CellMetric else "HD95/d"][2])
    assert not any(np.isnan(values[0]) for key, values in resampled.items() if "/" not in key)
    low = metric.intervals(50)
    assert low.keys() == {f"{metric.prefix}/{key}" for key in resampled}
