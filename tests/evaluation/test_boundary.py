"""Boundary IoU by literal erosion, distances by scipy's directed Hausdorff and by hand."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.spatial.distance import cdist, directed_hausdorff

from attnseg.evaluation.functional.boundary import (
    average_surface_distance,
    boundary_iou,
    boundary_region,
    boundary_width,
    contour,
    hausdorff,
    surface_distances,
)


@st.composite
def _masks(draw, count: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = (draw(st.integers(1, 24)), draw(st.integers(1, 31)))
    masks = []
    for _ in range(count):
        mask = rng.random(size) < draw(st.sampled_from([0.02, 0.5, 0.97, 1.0]))
        if draw(st.booleans()):
            mask = np.kron(mask, np.ones((3, 2), dtype=bool))[: size[0], : size[1]]
        masks.append(mask)
    return masks


def _literal_region(mask: np.ndarray, width: int) -> np.ndarray:
    """Mask minus its ``width`` erosions by a 3x3 square, zeros around the image."""
    padded = np.pad(mask, 1)
    eroded = binary_erosion(padded, np.ones((3, 3)), iterations=width)
    return mask & ~eroded[1:-1, 1:-1]


@settings(max_examples=200, deadline=None)
@given(_masks(), st.integers(1, 9))
def test_boundary_iou_by_its_definition(masks, width: int) -> None:
    regions = [_literal_region(mask, width) for mask in masks]
    for mask, region in zip(masks, regions, strict=True):
        np.testing.assert_array_equal(boundary_region(mask, width), region)
    union = (regions[0] | regions[1]).sum()
    expected = (regions[0] & regions[1]).sum() / union if union else float("nan")
    assert boundary_iou(*masks, width) == pytest.approx(expected, abs=1e-15, nan_ok=True)


@settings(max_examples=200, deadline=None)
@given(_masks())
def test_distances_by_their_definition(masks) -> None:
    edges = [mask ^ binary_erosion(mask) for mask in masks]
    for mask, edge in zip(masks, edges, strict=True):
        np.testing.assert_array_equal(contour(mask), edge)
    points = [np.argwhere(edge) for edge in edges]
    if not all(len(p) for p in points):
        some = any(len(p) for p in points)
        expected = np.hypot(*masks[0].shape) if some else float("nan")
        for value in (hausdorff(*masks), average_surface_distance(*masks)):
            assert value == pytest.approx(expected, nan_ok=True)
        return
    both = max(directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0])
    assert hausdorff(*masks) == both == hausdorff(*masks[::-1])
    pairs = cdist(*points)
    nearest = pairs.min(axis=1), pairs.min(axis=0)
    assert hausdorff(*masks, 95) == pytest.approx(max(np.percentile(d, 95) for d in nearest))
    mean = (nearest[0].sum() + nearest[1].sum()) / sum(pairs.shape)
    assert average_surface_distance(*masks) == pytest.approx(mean, abs=1e-12)


def test_translated_square() -> None:
    first, second = np.zeros((2, 40, 60), dtype=bool)
    first[10:20, 10:20], second[10:20, 13:23] = True, True
    assert hausdorff(first, second) == 3.0
    assert hausdorff(first, second, 95) == 3.0
    # Of 36 contour pixels of each: left side 8 * 3, top and bottom 3 + 2 + 1, and the right side,
    # inside the other, 1 + 2 + 3 + 3 + 3 + 3 + 2 + 1.
    assert average_surface_distance(first, second) == (24 + 2 * 6 + 18) / 36


def test_concentric_squares() -> None:
    outer, inner = np.zeros((2, 50, 50), dtype=bool)
    outer[5:45, 5:45], inner[15:35, 15:35] = True, True
    # Corners are sqrt(2) * 10 apart, sides 10.
    assert hausdorff(outer, inner) == pytest.approx(10 * np.sqrt(2))
    # d = 3: the regions are frames that do not meet.
    assert boundary_iou(outer, inner, 3) == 0.0
    assert boundary_iou(outer, outer, 3) == 1.0
    # Wide enough, a region is the whole mask.
    assert boundary_iou(outer, inner, 20) == 400 / 1600


def test_image_border_is_a_contour() -> None:
    mask = np.zeros((8, 10), dtype=bool)
    mask[:, :5] = True
    region = boundary_region(mask, 1)
    assert region[0, :5].all() and region[:, 0].all() and region[:, 4].all()
    assert not region[1:-1, 1:4].any()


def test_width_from_the_diagonal() -> None:
    assert boundary_width((300, 400)) == 10
    assert boundary_width((3, 4)) == 1
    assert boundary_width((300, 400), 0.01) == 5
    with pytest.raises(ValueError, match="at least 1"):
        boundary_region(np.ones((2, 2), dtype=bool), 0)


@pytest.mark.parametrize("size", [(1, 7), (300, 500), (1400, 700), (2600, 30), (3, 2900)])
def test_distances_equal_a_distance_transform(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    for density in (0.0, 1e-3, 0.3):
        masks = rng.random((2, *size)) < density
        masks[0, 0, 0], masks[1, -1, -1] = True, True
        edges = [mask ^ binary_erosion(mask) for mask in masks]
        forward, backward = surface_distances(*masks)
        np.testing.assert_array_equal(forward, distance_transform_edt(~edges[1])[edges[0]])
        np.testing.assert_array_equal(backward, distance_transform_edt(~edges[0])[edges[1]])


def test_opencv_region_of_a_blob() -> None:
    rng = np.random.default_rng(0)
    mask = cv2.GaussianBlur(rng.random((240, 320)), (0, 0), 8) > 0.5
    for width in (1, 5, 8):
        np.testing.assert_array_equal(boundary_region(mask, width), _literal_region(mask, width))


def test_refused() -> None:
    mask = np.ones((2, 3), dtype=bool)
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(2, 3\)"):
        hausdorff(mask[:, :2], mask)
    with pytest.raises(ValueError, match=r"uint8"):
        boundary_iou(mask, mask.astype(np.uint8), 1)
