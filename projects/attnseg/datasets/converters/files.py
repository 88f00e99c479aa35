"""Writing that leaves no half file behind."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engine import atomic


def write_json(path: Path, content: Any) -> None:
    """Write a json file at once, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_json(path, content, indent=None)


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a PNG at once (BGR or gray), making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, cv2.imencode(".png", image)[1].tobytes())
