"""mmdet's and mmseg's inferencers, and ours, on configs of ours."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import TRANSFORMS, DefaultScope, init_default_scope

from attnseg.apis.command import UsageError
from attnseg.apis.inferencer import DetInferencer, SegInferencer
from attnseg.datasets import LoadImage
from attnseg.datasets.demo import CLASSES
from attnseg.registry import MODELS
from tests.integration.conftest import written_config

KINDS = {"colour": ((40, 56, 3), np.uint8), "gray": ((40, 56), np.uint8), "deep": ((40, 56), "u2")}


def save_random_weights(cfg: Config, path: Path) -> Path:
    """A checkpoint as a run leaves it: weights and the classes of the data."""
    torch.manual_seed(0)
    palette = [(40 * i, 255 - 40 * i, 80) for i in range(len(CLASSES))]
    meta = {"dataset_meta": {"classes": CLASSES, "palette": palette}}
    torch.save({"state_dict": MODELS.build(cfg.model).state_dict(), "meta": meta}, path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    """A colour, a gray and a 16-bit PNG of 40x56."""
    paths = []
    for name, (shape, dtype) in KINDS.items():
        path = tmp_path / f"{name}.png"
        rng = np.random.default_rng(0)
        cv2.imwrite(str(path), rng.integers(0, np.iinfo(dtype).max, shape).astype(dtype))
        paths.append(str(path))
    return paths


def test_det_inferencer(panoptic_cfg: Config, images: list[str], tmp_path: Path) -> None:
    from mmdet import apis

    init_default_scope("mmdet")
    weights = save_random_weights(panoptic_cfg, tmp_path / "weights.pth")
    infer = apis.DetInferencer(panoptic_cfg, str(weights), device="cpu", show_progress=False)
    result = infer(images, return_datasamples=True, no_save_vis=True, return_vis=True)
    assert [v.shape for v in result["visualization"]] == [(40, 56, 3)] * 3
    for one in result["predictions"]:
        assert one.pred_panoptic_seg.sem_seg.shape == (1, 40, 56)
        assert one.pred_instances.masks.shape[1:] == (40, 56)


def test_seg_inferencer(semantic_cfg: Config, images: list[str], tmp_path: Path) -> None:
    from mmseg.apis import MMSegInferencer

    init_default_scope("mmseg")
    weights = save_random_weights(semantic_cfg, tmp_path / "weights.pth")
    path = tmp_path / "resolved.py"
    semantic_cfg.dump(path)
    infer = MMSegInferencer(str(path), str(weights), device="cpu")
    result = infer(images)
    assert [p.shape for p in result["predictions"]] == [(40, 56)] * 3
    assert all(0 <= p.min() <= p.max() < len(CLASSES) for p in result["predictions"])


# Files that mmcv reads wrongly without a word.

INSTANCES = """
_base_ = [
    "{configs}/iaunet/base_small.py",
    "{configs}/_base_/datasets/demo_instance.py",
    "{configs}/_base_/schedules/adamw_2e-3_400i.py",
]
model = dict(
    backbone=dict(widths=(4, 8, 8, 12)),
    head=dict(
        in_channels=[4, 8, 8, 12],
        channels=8,
        num_heads=2,
        num_queries=7,
        num_classes=_base_.num_classes,
    ),
    test_cfg=dict(score_thr=0.0, mask_thr=0.4, nms_iou=1.0),
)
"""


@pytest.fixture
def instance_cfg(demo_set: Path, tmp_path: Path) -> Config:
    return written_config(INSTANCES, demo_set, tmp_path)


@pytest.fixture
def deep_files(tmp_path: Path) -> dict[str, str]:
    """TIFFs of 40x56: 16-bit gray, two channels, and a stack of three planes."""
    pixels = np.random.default_rng(0).integers(300, 4000, (3, 40, 56)).astype(np.uint16)
    axes = {"gray": "YX", "channels": "CYX", "stack": "ZYX"}
    stored = {"gray": pixels[0], "channels": pixels[:2], "stack": pixels}
    for name, values in stored.items():
        metadata = {"axes": axes[name]}
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, values, imagej=True, photometric="minisblack", metadata=metadata)
    return {name: str(tmp_path / f"{name}.tif") for name in stored}


@pytest.mark.parametrize("scope", ["mmdet", "mmseg"])
def test_a_bare_loader_reads_as_tests_do(scope: str, deep_files: dict[str, str]) -> None:
    with DefaultScope.overwrite_default_scope(scope):
        loaders = [
            TRANSFORMS.build({"type": "LoadImageFromFile"}),
            TRANSFORMS.build({"type": f"{scope}.InferencerLoader"}),
        ]
        foreign = TRANSFORMS.build({"type": "LoadImageFromFile", "to_float32": True})
    assert type(foreign) is LoadImageFromFile
    expected = LoadImage()({"img_path": deep_files["gray"]})["img"]
    for loader in loaders:
        found = loader({"img_path": deep_files["gray"], "height": 1})["img"]
        np.testing.assert_array_equal(found, expected)
        for name, message in (("channels", "has 2 channels"), ("stack", "has 3 z-planes")):
            with pytest.raises(ValueError, match=message):
                loader({"img_path": deep_files[name]})


def test_functions_of_mmdet_read_as_tests_do(
    instance_cfg: Config, deep_files: dict[str, str], tmp_path: Path
) -> None:
    from mmdet.apis import inference_detector, init_detector

    init_default_scope("mmdet")
    weights = save_random_weights(instance_cfg, tmp_path / "weights.pth")
    model = init_detector(instance_cfg, str(weights), device="cpu")
    infer = DetInferencer(instance_cfg, str(weights), device="cpu", show_progress=False)
    (ours,) = infer(deep_files["gray"], return_datasamples=True)["predictions"]
    theirs = inference_detector(model, deep_files["gray"])
    torch.testing.assert_close(theirs.pred_instances.scores, ours.pred_instances.scores)
    with pytest.raises(ValueError, match="has 2 channels"):
        inference_detector(model, deep_files["channels"])


@pytest.mark.parametrize("kind", ["det", "seg"])
def test_own_inferencers_follow_the_arguments_of_the_loader(
    kind: str, request: pytest.FixtureRequest, deep_files: dict[str, str], tmp_path: Path
) -> None:
    cfg = request.getfixturevalue({"det": "instance_cfg", "seg": "semantic_cfg"}[kind])
    init_default_scope(f"mm{kind}")
    weights = save_random_weights(cfg, tmp_path / "weights.pth")
    loader: dict[str, Any] = {"missing": "zero", "per_channel": True, "stack": "max"}
    cfg.test_dataloader.dataset.pipeline[0] = {"type": "attnseg.LoadImage", **loader}
    inferencer = {"det": DetInferencer, "seg": SegInferencer}[kind]
    infer = inferencer(cfg, str(weights), device="cpu")
    infer.show_progress = False
    result = infer(list(deep_files.values()), out_dir=str(tmp_path / "out"), return_vis=True)
    assert len(result["predictions"]) == 3
    drawn = {path.name for path in (tmp_path / "out/vis").iterdir()}
    assert drawn == {f"{name}.tif.png" for name in deep_files}
    for name, path in deep_files.items():
        expected = LoadImage(**loader)({"img_path": path})["img"]
        np.testing.assert_array_equal(infer.pipeline.read(path)["img"], expected)
        pixels = tifffile.imread(path)
        if name != "stack":  # planes of an array cannot be told from channels
            array = np.moveaxis(pixels, 0, -1) if pixels.ndim == 3 else pixels
            np.testing.assert_array_equal(infer.pipeline.read(array)["img"], expected)
    assert result["visualization"][0].std() > 20
    colour = np.random.default_rng(0).integers(0, 256, (40, 56, 3)).astype(np.uint8)
    np.testing.assert_array_equal(infer.pipeline.read(colour)["img"], colour)
    assert infer(colour)["predictions"] is not None


@pytest.mark.parametrize("windows", [None, {"size": (32, 32), "overlap": 8}])
def test_rles_give_the_results_and_the_drawing_of_masks(
    instance_cfg: Config, images: list[str], tmp_path: Path, windows: dict | None
) -> None:
    init_default_scope("mmdet")
    weights = save_random_weights(instance_cfg, tmp_path / "weights.pth")
    results = []
    for rle in (False, True):
        instance_cfg.model.test_cfg.update(rle=rle, windows=windows)
        infer = DetInferencer(instance_cfg, str(weights), device="cpu", show_progress=False)
        out = tmp_path / str(rle)
        options: dict[str, Any] = {"pred_score_thr": 0.1, "return_vis": True}
        np.random.seed(0)  # mmdet draws colours by chance
        result = infer(images[0], out_dir=str(out), no_save_pred=False, **options)
        assert json.loads((out / "preds/colour.json").read_text()) == result["predictions"][0]
        results.append(result)
    masks, rles = results
    assert len(masks["predictions"][0]["masks"]) > 0
    assert rles["predictions"] == masks["predictions"]
    np.testing.assert_array_equal(rles["visualization"], masks["visualization"])


def test_rles_of_an_image_without_instances(
    instance_cfg: Config, images: list[str], tmp_path: Path
) -> None:
    init_default_scope("mmdet")
    weights = save_random_weights(instance_cfg, tmp_path / "weights.pth")
    instance_cfg.model.test_cfg.update(rle=True, score_thr=0.99)
    infer = DetInferencer(instance_cfg, str(weights), device="cpu", show_progress=False)
    result = infer(images[0], return_vis=True)
    assert result["predictions"] == [{"labels": [], "scores": [], "bboxes": [], "masks": []}]


def test_a_test_set_without_a_reader_is_named(instance_cfg: Config, tmp_path: Path) -> None:
    del instance_cfg.test_dataloader.dataset.pipeline[0]
    weights = save_random_weights(instance_cfg, tmp_path / "weights.pth")
    with pytest.raises(UsageError, match=r"begins with Resize: expected attnseg\.LoadImage"):
        DetInferencer(instance_cfg, str(weights), device="cpu")


def test_the_module_can_be_imported_first() -> None:
    code = "from attnseg.apis.inferencer import DetInferencer, SegInferencer"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
