"""A perfect segmentation of the windows is stitched to exactly the cells of the image."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from attnseg.iaunet.stitching import WindowPrediction, stitch, to_instance_data
from tests.iaunet.cells import SQUARE, Size, cut, discs, maze, number_parts, tissue


def assert_exact(cells: NDArray, parts: list[WindowPrediction], overlap: int, classes: int) -> None:
    found = stitch(parts, cells.shape, overlap)
    ids = np.unique(cells[cells > 0])
    assert len(found) == len(ids)
    masks = to_instance_data(found, cells.shape).masks.numpy()
    rebuilt = np.zeros_like(cells)
    for mask, instance in zip(masks, found, strict=True):
        value = cells[mask][0]
        assert instance.label == value % classes
        rebuilt[mask] = value
    assert np.array_equal(rebuilt, cells)
    assert masks.sum() == (cells > 0).sum()


@settings(max_examples=50, deadline=None)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 110)),
    window=st.tuples(st.integers(8, 50), st.integers(8, 50)),
    overlap=st.integers(1, 49),
    seed=st.integers(0, 2**16),
    diagonal=st.booleans(),
    scale=st.sampled_from([0.7, 1.5, 3.0, 6.0]),
    classes=st.integers(1, 3),
)
def test_mazes_are_restored_exactly(
    size: Size,
    window: Size,
    overlap: int,
    seed: int,
    diagonal: bool,
    scale: float,
    classes: int,
) -> None:
    overlap = min(overlap, min(window) - 1, 2 * min(window) // 3)
    structure = SQUARE if diagonal else None
    cells = maze(size, seed, structure, scale)
    assert_exact(cells, cut(cells, window, overlap, structure, classes), overlap, classes)


@pytest.mark.parametrize(
    ("kind", "window", "overlap"),
    [
        ("discs", (64, 64), 20),
        ("tissue", (64, 80), 32),
        ("larger than the overlap", (96, 64), 12),
        ("larger than the image", (300, 300), 40),
        ("one direction", (300, 64), 7),
    ],
)
def test_cells_are_restored_exactly(kind: str, window: Size, overlap: int) -> None:
    size = (150, 211)
    if kind == "tissue":
        cells = tissue(size, 1, 90)
    else:
        cells = discs(size, 2, (20, 45) if kind.startswith("larger") else (3, 15))
    assert cells.max() > 5
    assert_exact(cells, cut(cells, window, overlap, classes=2), overlap, 2)


def test_an_image_of_a_microscope_at_the_size_of_training() -> None:
    cells = discs((1024, 1022), 0, (8, 60))
    parts = cut(cells, (512, 512), 128)
    parts = [
        part._replace(masks=torch.from_numpy(part.masks), labels=torch.from_numpy(part.labels))
        for part in parts
    ]
    assert len(parts) == 9
    assert_exact(cells, parts, 128, 1)


def rows_and_columns(size: Size) -> tuple[NDArray, NDArray]:
    return np.mgrid[: size[0], : size[1]]


def shapes() -> dict[str, NDArray]:
    size = (100, 130)
    rows, columns = rows_and_columns(size)
    distance = np.hypot(rows - 50, columns - 60)
    turn = distance - 3 * np.arctan2(rows - 50, columns - 60)
    bars = np.zeros(size, dtype=int)
    bars[20:24] = 1
    bars[24:30] = 2
    bars[:20, 61:70] = 3
    corner = np.zeros(size, dtype=int)
    # The windows of 40 with an overlap of 12 start at 0, 28, 56.
    corner[30:38, 58:66] = 1
    corner[24:30, 58:66] = 2
    corner[38:45, 50:70] = 3
    return {
        "ring through many windows": ((distance > 30) & (distance < 36)).astype(int),
        "ring around a disc": np.where(distance < 25, 1, np.where(distance < 45, 2, 0)),
        "spiral": ((turn % (6 * np.pi) < 6) & (distance < 48) & (distance > 5)).astype(int),
        "long bars that touch": bars,
        "three cells that touch at a corner": corner,
        "one cell everywhere": np.ones(size, dtype=int),
    }


@pytest.mark.parametrize("name", shapes())
def test_difficult_shapes_are_restored_exactly(name: str) -> None:
    cells = number_parts(shapes()[name], SQUARE)
    for overlap in (1, 2, 3, 5, 12, 26):
        assert_exact(cells, cut(cells, (40, 40), overlap, SQUARE), overlap, 1)
