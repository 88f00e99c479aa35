"""From files as microscopes write them to results and pictures, by the tools."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from mmengine.registry import init_default_scope

from attnseg.apis.experiment import UsageError, build_config, run_train
from attnseg.datasets.converters.label_map import encode_label_map
from attnseg.registry import MODELS

REPO = Path(__file__).resolve().parents[2]
# A usual one, one smaller than the window of 32 x 32, one of odd sides, one without objects.
SIZES = ((48, 64), (20, 27), (41, 53), (32, 32))
CONFIG = """
_base_ = [
    "{configs}/iaunet/base_small.py",
    "{configs}/_base_/datasets/dsb2018_cells_windows.py",
    "{configs}/_base_/schedules/iaunet_adamw_1e-3_1200i.py",
]
load = dict(type="attnseg.LoadImage", channels={channels}, per_channel=True)
model = dict(
    data_preprocessor=dict(mean=[127.5], std=[60.0], bgr_to_rgb=False),
    backbone=dict(
        in_channels={channels},
        widths=(4, 8, 8, 12),
        init_cfg=dict(type="attnseg.AdaptedPretrained", checkpoint="weights.pth"),
    ),
    head=dict(
        in_channels=[4, 8, 8, 12], channels=8, num_heads=2, num_queries=6,
        num_classes=1, loss=dict(num_points=64),
    ),
    # Untrained, it is unsure of everything: keep it all.
    test_cfg=dict(score_thr=0.0, rle={rle}, windows=dict(size=(32, 32), overlap=8)),
)
train_pipeline = _base_.train_pipeline
train_pipeline[0] = load
train_pipeline[3].update(size=(32, 32))
test_pipeline = _base_.test_pipeline
test_pipeline[0] = load
local = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline), **local)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline), **local)
test_dataloader = val_dataloader
"""


def write_image(path: Path, ids: np.ndarray, channels: int, rng: np.random.Generator) -> None:
    """Cells on a dim ground; 12 of 16 bits are used, and channels differ in gain."""
    ground = rng.normal(300, 20, (channels, *ids.shape)) + 800 * (ids > 0)
    ground[1:] = ground[1:] * 4
    if path.suffix == ".png":
        cv2.imwrite(str(path), (ground[0] / 8).clip(0, 255).astype(np.uint8))
    else:
        pixels = ground.astype(np.uint16)
        tifffile.imwrite(path, pixels if channels > 1 else pixels[0], photometric="minisblack")


def write_set(root: Path, channels: int, suffix: str) -> Path:
    """Train and val of the same four images, with masks from label maps."""
    rng = np.random.default_rng(0)
    (root / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        (root / "images" / split).mkdir(parents=True)
        images: list[dict[str, Any]] = []
        objects: list[dict[str, Any]] = []
        for number, (height, width) in enumerate(SIZES):
            ids = np.zeros((height, width), np.int32)
            if number < 3:
                ids[3:12, 4:15] = 7
                ids[10:19, 16:25] = 300
            name = f"{number}{suffix}"
            write_image(root / "images" / split / name, ids, channels, rng)
            images.append({"id": number, "file_name": name, "height": height, "width": width})
            for cell in encode_label_map(ids)[1]:
                place = {"id": len(objects) + 1, "image_id": number, "category_id": 1, "iscrowd": 0}
                objects.append({**cell, **place})
        content = {"images": images, "annotations": objects}
        content["categories"] = [{"id": 1, "name": "cell"}]
        (root / f"annotations/instances_{split}.json").write_text(json.dumps(content))
    return root


def write_rgb_weights(path: Path) -> None:
    """The same encoder as of a training on colour images."""
    init_default_scope("mmdet")
    torch.manual_seed(0)
    encoder = {"type": "attnseg.UNetEncoder", "widths": (4, 8, 8, 12), "stem_stride": 2}
    torch.save(MODELS.build(encoder).state_dict(), path)


def tool(name: str, *arguments: object, cwd: Path) -> str:
    command = [sys.executable, str(REPO / "tools" / name), *map(str, arguments)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "suffix", "rle"), [(2, ".tif", True), (1, ".png", False)])
def test_train_test_and_draw(tmp_path: Path, channels: int, suffix: str, rle: bool) -> None:
    data = write_set(tmp_path / "data", channels, suffix)
    write_rgb_weights(tmp_path / "weights.pth")
    config = tmp_path / "own.py"
    text = CONFIG.format(configs=(REPO / "configs").as_posix(), channels=channels, rle=rle)
    config.write_text(text)
    common = (config, "--data", data, "--work-dir", "run")
    output = tool("train.py", *common, "--max-iters", 3, "--seed", 0, cwd=tmp_path)
    assert f"adapted from 3 to {channels} input channels" in output
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["mode"] == "val" and result["iter"] == 3
    weights = torch.load(tmp_path / "run/iter_3.pth", weights_only=False)["state_dict"]
    assert weights["backbone.stem.0.conv.weight"].shape[1] == channels
    assert all(value.isfinite().all() for value in weights.values())
    (scalars,) = (tmp_path / "run").rglob("scalars.json")
    losses = [json.loads(line).get("loss") for line in scalars.read_text().splitlines()]
    assert all(loss is None or math.isfinite(loss) for loss in losses)

    shown = ("--show-dir", "drawn", "--save-predictions", "saved")
    options = ("--cfg-options", "custom_hooks.4.options.pred_score_thr=0.0")
    first, *rest = common
    tool("test.py", first, "run/iter_3.pth", *rest, *shown, *options, cwd=tmp_path)
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["mode"] == "test" and 0 <= result["metrics"]["coco/AP"] <= 1
    assert any(path.is_file() for path in (tmp_path / "saved").rglob("*"))
    ending = ".png" if suffix == ".tif" else ""
    for number, (height, width) in enumerate(SIZES):
        picture = cv2.imread(str(tmp_path / "drawn" / f"{number}{suffix}{ending}"))
        # The truth stands to the left.
        assert picture.shape == (height, 2 * width, 3)
        assert picture.std() > 15 and picture.max() > 100


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "weights.pth: no such checkpoint file"), ({"x": torch.ones(1)}, "not one weight fits")],
)
def test_pretrained_weights_that_cannot_be_used_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: dict | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_set(tmp_path / "data", 1, ".png")
    config = tmp_path / "own.py"
    config.write_text(CONFIG.format(configs=(REPO / "configs").as_posix(), channels=1, rle=False))
    if content is not None:
        torch.save(content, "weights.pth")
    cfg = build_config(config, data=data, work_dir="run", max_iters=1)
    with pytest.raises(UsageError, match=message):
        run_train(cfg)
