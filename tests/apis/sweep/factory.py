"""Small sweep files for the tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

UNET = "maskattn_unet/unet_small_1xb8-400i_camvid11-semantic-128x128"
MASKATTN = "maskattn_unet/maskattn-unet_small_1xb8-400i_camvid11-semantic-128x128"
LR = "optim_wrapper.optimizer.lr"
CONTENT: dict[str, Any] = {
    "title": "Attention",
    "base": MASKATTN,
    "axes": {"variant": {"U-Net": UNET, "MaskAttn": {}}, LR: [0.002, 0.001]},
    "seeds": [0, 1],
    "columns": ["semantic/mIoU"],
    "max_iters": 3,
}


def write_sweep(folder: Path, name: str = "table", **changes: Any) -> Path:
    """Write a sweep file; None leaves a name out."""
    content = {key: value for key, value in (CONTENT | changes).items() if value is not None}
    return write_content(folder / f"{name}.py", content)


def write_content(path: Path, content: Mapping[str, Any]) -> Path:
    """Write a Python config of these names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{key} = {value!r}\n" for key, value in content.items()))
    return path
