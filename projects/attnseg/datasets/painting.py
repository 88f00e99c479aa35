"""Shapes and textures of the demo set: pure functions of a random generator."""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Size = tuple[int, int]
Mask = NDArray[np.bool_]
Picture = NDArray[np.float32]


def disk(size: Size, centre: NDArray[np.float64], radius: float, rng: np.random.Generator) -> Mask:
    """Paint a filled ellipse (H, W) of mean radius ``radius`` pixels around ``centre`` (y, x)."""
    along, across = _object_axes(size, centre, rng.uniform(0, np.pi))
    stretch = rng.uniform(0.8, 1.25)
    return (along * stretch) ** 2 + (across / stretch) ** 2 <= radius**2


def ring(size: Size, centre: NDArray[np.float64], radius: float, rng: np.random.Generator) -> Mask:
    """Paint a ring (H, W), whose hole shows what lies behind."""
    along, across = _object_axes(size, centre, 0.0)
    distance = np.hypot(along, across)
    return (distance <= radius) & (distance >= radius * rng.uniform(0.45, 0.6))


def star(size: Size, centre: NDArray[np.float64], radius: float, rng: np.random.Generator) -> Mask:
    """Paint a star (H, W) of four to six rays."""
    rays = int(rng.integers(4, 7))
    angles = rng.uniform(0, 2 * np.pi) + np.arange(2 * rays) * np.pi / rays
    reach = np.where(np.arange(2 * rays) % 2 == 0, 1.15 * radius, 0.5 * radius)
    corners = np.stack([centre[1] + reach * np.cos(angles), centre[0] + reach * np.sin(angles)], 1)
    mask = np.zeros(size, np.uint8)
    # Corners in 1/16 pixel, so that small stars keep their form.
    cv2.fillPoly(mask, [np.rint(corners * 16).astype(np.int32)], 1, shift=4)
    return mask.astype(bool)


def _object_axes(
    size: Size, centre: NDArray[np.float64], angle: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float64)
    rows, columns = rows - centre[0], columns - centre[1]
    cosine, sine = np.cos(angle), np.sin(angle)
    return columns * cosine + rows * sine, rows * cosine - columns * sine


def object_texture(size: Size, rng: np.random.Generator) -> Picture:
    """Paint (H, W, 3), 0..255: stripes, checks or speckles in two random colours.

    Colours and kind are drawn without regard to the class, so that the shape alone tells it.
    """
    bright, dark = rng.uniform(90, 255, 3), rng.uniform(0, 160, 3)
    rows, columns = _object_axes(size, np.zeros(2), rng.uniform(0, np.pi))
    period = rng.uniform(4, 9)
    waves = np.sin(2 * np.pi * rows / period), np.sin(2 * np.pi * columns / period)
    speckles = gaussian_filter(rng.standard_normal(size), 1.0) * 4
    pattern = (waves[0], waves[0] * waves[1], speckles)[int(rng.integers(3))]
    share = (0.5 + 0.5 * np.clip(pattern, -1, 1))[..., None]
    return (share * bright + (1 - share) * dark).astype(np.float32)


def ground(size: Size, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Picture]:
    """Paint textured ground of two stuff classes, divided by a smooth border.

    Returns:
        Index (H, W): 0 grass, 1 sand; and the picture (H, W, 3), 0..255.
    """
    rows, columns = _object_axes(size, np.array(size) / 2, rng.uniform(0, 2 * np.pi))
    reach = min(size)
    bend = gaussian_filter(rng.standard_normal(size), reach / 8)
    bend *= 0.12 * reach / max(float(np.abs(bend).max()), 1e-6)
    index = (rows + bend + rng.uniform(-0.2, 0.2) * reach > 0).astype(np.uint8)
    grass = _noise(size, 0.8, 30, rng) + np.array([70, 120, 50]) + rng.uniform(-20, 20, 3)
    waves = 10 * np.sin(2 * np.pi * columns / rng.uniform(7, 12))[..., None]
    sand = _noise(size, 1.5, 10, rng) + waves + np.array([185, 165, 115]) + rng.uniform(-20, 20, 3)
    return index, np.where(index[..., None] == 0, grass, sand).astype(np.float32)


def _noise(size: Size, blur: float, strength: float, rng: np.random.Generator) -> Picture:
    noise = gaussian_filter(rng.standard_normal(size), blur)
    return (strength * noise / max(float(noise.std()), 1e-6))[..., None].astype(np.float32)
