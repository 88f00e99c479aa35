"""Published models: what is in the files, and that they predict what the checkpoint does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope, registry
from safetensors import safe_open

from attnseg._atomic import to_plain
from attnseg.apis.command import UsageError
from attnseg.apis.experiment import build_config, run_test, run_train
from attnseg.apis.inferencer import DetInferencer, SegInferencer
from attnseg.apis.publish import Published, publish
from attnseg.apis.refiner import MaskRefiner
from attnseg.datasets.demo import CLASSES
from attnseg.file_hash import file_hash
from tests.apis.refine_factory import write_model
from tests.integration.conftest import CONFIGS, SEMANTIC, written_config

REPO = CONFIGS.parent
PANOPTIC = """
_base_ = "{configs}/maskattn_unet/maskattn-unet_small_1xb8-400i_demo-panoptic-128x128.py"
"""
EMA = {"type": "EMAHook", "momentum": 0.5}


@pytest.fixture(autouse=True)
def unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the registries back after each test: reading JSON locks them."""
    for name in ("import_module", "get_object_from_string"):
        monkeypatch.setattr(registry, name, getattr(registry, name))


def written(folder: Path, text: str, demo_set: Path) -> Path:
    """A resolved leaf of this text on the demo set, at a tiny size."""
    path = folder / "own.py"
    written_config(text, demo_set, folder).dump(path)
    return path


def save_random_weights(config: Path, path: Path, **more: Any) -> Path:
    """A checkpoint as a training leaves it, with an optimizer and a message hub."""
    cfg = build_config(config)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    state = MODELS.build(cfg.model).state_dict()
    palette = [(40 * i, 255 - 40 * i, 80) for i in range(len(CLASSES))]
    meta = {"dataset_meta": {"classes": CLASSES, "palette": palette}, "seed": 3, "iter": 7}
    junk = {"optimizer": {"state": {0: torch.zeros(9)}}, "message_hub": {"log": 1.0}}
    torch.save({"state_dict": state, "meta": meta, **junk, **more}, path)
    return path


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "image.png"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    cv2.imwrite(str(path), pixels)
    return str(path)


@pytest.mark.parametrize(
    ("inferencer", "text"),
    [(DetInferencer, PANOPTIC), (SegInferencer, SEMANTIC)],
    ids=["det", "seg"],
)
def test_published_pair_predicts_the_same_bits(
    inferencer: type, text: str, demo_set: Path, image: str, tmp_path: Path
) -> None:
    config = written(tmp_path, text, demo_set)
    checkpoint = save_random_weights(config, tmp_path / "w.pth")
    files = publish(config, checkpoint, tmp_path / "out")
    results = []
    for model, weights in ((config, checkpoint), (files.config, files.weights)):
        infer = inferencer(str(model), str(weights), device="cpu", show_progress=False)
        assert list(infer.model.dataset_meta["classes"]) == list(CLASSES)
        found = infer(image, return_datasamples=True)
        sample = found["predictions"][0] if inferencer is DetInferencer else found
        results.append(sample.to_dict())
    compare(*results)


def compare(a: Any, b: Any) -> None:
    """The same values, bit by bit."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            compare(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            compare(x, y)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b)
    elif hasattr(a, "to_dict"):
        compare(a.to_dict(), b.to_dict())
    else:
        assert a == b


def test_published_refiner_gives_the_same_mask(image: str, tmp_path: Path) -> None:
    config, _ = write_model(tmp_path / "model")
    checkpoint = tmp_path / "random.pth"
    torch.manual_seed(1)
    torch.save(MODELS.build(build_config(config).model).state_dict(), checkpoint)
    files = publish(config, checkpoint, tmp_path / "out")
    stroke = np.zeros((40, 56), bool)
    stroke[10:30, 10:40] = True
    a, b = (
        MaskRefiner(*pair)(image, stroke)
        for pair in ((config, checkpoint), (files.config, files.weights))
    )
    np.testing.assert_array_equal(a, b)
    assert "classes: none are named" in files.card.read_text()


def test_names_contents_and_what_is_there_already(demo_set: Path, tmp_path: Path) -> None:
    config = written(tmp_path, SEMANTIC, demo_set)
    checkpoint = save_random_weights(config, tmp_path / "w.pth")
    files = publish(config, checkpoint, tmp_path / "out")
    stem = f"own-{file_hash(files.weights)[:8]}"
    assert [path.name for path in files] == [f"{stem}.{e}" for e in ("safetensors", "json", "md")]
    with safe_open(files.weights, "pt") as file:
        meta = json.loads(file.metadata()["attnseg"])
        names = set(file.keys())
    assert meta["dataset_meta"]["classes"] == list(CLASSES) and meta["experiment_name"] == "own"
    assert meta["seed"] == 3 and meta["iter"] == 7 and meta["versions"]["torch"]
    assert names == set(torch.load(checkpoint, weights_only=True)["state_dict"])
    assert not {"work_dir", "load_from", "launcher"} & json.loads(files.config.read_text()).keys()
    assert "Not measured. No run folder was given." in files.card.read_text()
    # The same again is no matter; another one is not written over, and nothing is half done.
    before = {path: path.stat().st_mtime_ns for path in files}
    assert publish(config, checkpoint, tmp_path / "out") == files
    assert {path: path.stat().st_mtime_ns for path in files} == before
    files.weights.unlink()
    files.card.write_text("mine")
    with pytest.raises(UsageError, match=r"\.md exists and is another"):
        publish(config, checkpoint, tmp_path / "out")
    assert files.card.read_text() == "mine" and not files.weights.exists()


def test_what_cannot_be_published_is_named(demo_set: Path, tmp_path: Path) -> None:
    config = written(tmp_path, SEMANTIC, demo_set)
    checkpoint = save_random_weights(config, tmp_path / "w.pth")
    config.write_text(config.read_text() + "\nmodel['decode_head']['mine'] = lambda x: x\n")
    with pytest.raises(UsageError, match=r"own.py: 'model.decode_head.mine' is <function"):
        publish(config, checkpoint, tmp_path / "out")
    config = written(tmp_path, SEMANTIC, demo_set)
    torch.save({"state_dict": {"a": torch.zeros(1)}}, checkpoint)
    with pytest.raises(UsageError, match=r"w.pth: the weights do not fit"):
        publish(config, checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_metadata_that_is_damaged_is_named(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from attnseg._compat_io import load_from_local

    path = tmp_path / "w.safetensors"
    for text in ("{", "[]", '{"dataset_meta": 3}'):
        save_file({"a": torch.zeros(1)}, path, {"attnseg": text})
        with pytest.raises(RuntimeError, match=r"w.safetensors: its metadata 'attnseg'"):
            load_from_local(str(path))
    save_file({"a": torch.zeros(1)}, path, {"format": "pt"})
    assert load_from_local(str(path))["meta"] == {}


def test_a_run_with_averages_is_published_with_its_figures(demo_set: Path, tmp_path: Path) -> None:
    config, run = written(tmp_path, PANOPTIC, demo_set), tmp_path / "run"
    cfg = build_config(config, work_dir=run, max_iters=2)
    cfg.custom_hooks = [*cfg.custom_hooks, EMA]
    run_train(cfg)
    checkpoint = run / "iter_2.pth"
    metrics = run_test(build_config(config, work_dir=run, checkpoint=checkpoint))
    command = [sys.executable, str(REPO / "tools" / "publish.py"), str(config), str(checkpoint)]
    command += ["--out", str(tmp_path / "out"), "--run", str(run)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    files = Published(*map(Path, printed.split()[-3:]))
    saved = torch.load(checkpoint, weights_only=False)
    assert any(
        not torch.equal(v, saved["ema_state_dict"][f"module.{k}"])
        for k, v in saved["state_dict"].items()
    )
    with safe_open(files.weights, "pt") as file:
        for key, value in saved["state_dict"].items():
            assert torch.equal(file.get_tensor(key), value)
    card = files.card.read_text()
    assert f"| semantic/mIoU | {metrics['semantic/mIoU']:.6g} |" in card
    assert "PanopticMetric" in card and "annotations `" in card and "hash `" in card
    assert f"checkpoint it was made from: sha256 `{file_hash(checkpoint)}`" in card
    assert (
        "The checkpoint says: epoch 0, iter 2, seed 0." in card and "time in the training" in card
    )
    # The pair, through the tool, gives the same figures to the last digit.
    command = [sys.executable, str(REPO / "tools" / "test.py"), *map(str, files[1::-1])]
    folder = tmp_path / "again"
    subprocess.run([*command, "--work-dir", str(folder)], check=True, capture_output=True)
    assert json.loads((folder / "result.json").read_text())["metrics"] == to_plain(metrics)
    # Figures of other weights are none of these.
    other = tmp_path / "other.pth"
    moved = {k: v * 2 if v.is_floating_point() else v for k, v in saved["state_dict"].items()}
    torch.save({"state_dict": moved, "meta": saved["meta"]}, other)
    card = publish(config, other, tmp_path / "out", run=run).card.read_text()
    assert "Not measured. The run folder has 1 test(s), of other weights." in card
