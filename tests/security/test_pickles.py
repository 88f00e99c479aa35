"""Code in a file is never run, whichever tool reads the file."""

import json
import os
import pickle
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader, load_checkpoint

from attnseg.apis.benchmark_inputs import without_weights
from tests.apis.refine_factory import write_model
from tests.leaderboard.factory import measured_run

REPO = Path(__file__).resolve().parents[2]
DEMO = "maskattn-unet_small_1xb8-400i_demo-panoptic-128x128"
CELLS = "iaunet_small_1xb4-1200i_dsb2018-instance-128x128"
QUIET = ["--cfg-options", "test_dataloader.num_workers=0", "train_dataloader.num_workers=0"]
QUIET += [f"{name}_dataloader.persistent_workers=False" for name in ("test", "train", "val")]
QUIET += ["val_dataloader.num_workers=0"]

# What each tool is given a file with code for. A new tool has to be put into one of the two.
READS = {
    "test.py": [DEMO, "{evil}", "--data", "{demo}", "--work-dir", "{out}", *QUIET],
    "train.py": [DEMO, "--load-from", "{evil}", "--data", "{demo}", "--work-dir", "{out}", *QUIET],
    "train.py --resume": [
        *(DEMO, "--resume", "{evil}", "--data", "{demo}", "--work-dir", "{out}", *QUIET),
    ],
    "train.py init_cfg": [
        *(DEMO, "--data", "{demo}", "--work-dir", "{out}", *QUIET),
        *("model.backbone.init_cfg.type=Pretrained", "model.backbone.init_cfg.checkpoint={evil}"),
    ],
    "analyze_dependency.py": [DEMO, "{evil}", "--data", "{demo}", "--out", "{out}"],
    "draw_activations.py": [CELLS, "{evil}", "{image}", "--out", "{out}"],
    "convert_refine_weights.py": ["{evil}", "{out}/x.safetensors", "--variant", "tiny"],
    "segment.py": ["{image}", DEMO, "{evil}", "--out", "{out}"],
    "publish.py": [DEMO, "{evil}", "--out", "{out}"],
    "export.py": [DEMO, "{evil}", "--out", "{out}/x.onnx"],
    "refine_app.py": ["--config", "{refine}", "--weights", "{evil}"],
    "refine_images.py": [
        *("--config", "{refine}", "--weights", "{evil}"),
        *("--images", "{demo}/images/val", "--strokes", "{demo}/images/val", "--out", "{out}"),
    ],
    "refine_predictions.py": [
        *("--config", "{refine}", "--weights", "{evil}", "{results}"),
        *("--images", "{demo}/images/val", "--out", "{out}/x.json", "--ann-file", "{ann}"),
    ],
    "count_strokes.py": ["{refine}", "{evil}", "--data", "{demo}"],
    "import_results.py": [
        *("{instance}", "{npy}", "--format", "labels", "--name", "x", "--version", "1"),
        *("--data", "{demo}", "--class-name", "disk", "--work-dir", "{out}"),
    ],
    "leaderboard.py": ["compare", "{runs}/a_0", "{runs}/b_0", "--paired"],
    "submit.py": [
        *("pack", "coco-instance", "--predictions", "{preds}", "--ann-file", "{ann}"),
        *("--out", "{out}/detections_val_x_results.zip"),
    ],
    "dataset_converters/revvity.py": ["{pickled}", "--out", "{out}"],
    "dataset_converters/livecell.py": ["{pickled}", "--out", "{out}"],
    "dataset_converters/evican.py": ["{pickled}", "--out", "{out}"],
    "dataset_converters/crop_dense.py": ["{pickled}", "{out}"],
    "dataset_converters/neurips_cellseg.py": ["{pickled}", "--out", "{out}"],
    "dataset_converters/panoptic_from_instances.py": [
        *("{pickled}/instances.json", "{out}/p.json", "{out}/png"),
    ],
}
# These open no file but configs (which are programs), what they made, or PNGs and mmdet's lists.
OTHERS = {
    *("benchmark.py", "demo.py", "make_demo_set.py", "plan_scale.py", "print_config.py"),
    *("sweep.py", "slurm/submit.py", "doctor.py", "dataset_converters/ade20k.py"),
    *("dataset_converters/cityscapes.py", "dataset_converters/label_maps.py"),
}


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


def test_every_tool_is_known() -> None:
    tools = {str(path.relative_to(REPO / "tools")) for path in (REPO / "tools").rglob("*.py")}
    assert tools == {name.split()[0] for name in READS} | OTHERS


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, demo_set: Path) -> dict[str, str]:
    """Files with code in them, by the names that the command lines above have for them."""
    root = tmp_path_factory.mktemp("evil")
    code = Code(root / "executed")
    torch.save({"state_dict": {"w": torch.ones(1)}, "meta": code}, root / "evil.pth")
    refine, _ = write_model(root / "refine")
    (root / "instance.py").write_text(
        f"_base_ = ['{REPO}/configs/_base_/datasets/demo_instance.py', "
        f"'{REPO}/configs/_base_/runtime/detection.py']\n"
    )
    (root / "npy").mkdir()
    for image in (demo_set / "images/val").iterdir():
        np.save(root / f"npy/{image.stem}.npy", np.array([code], dtype=object))
    for name in "ab":
        record = measured_run(root / "runs", name, 0.5)
        statistics = record.with_name("per_image.npz")
        np.savez(statistics, header=np.array([code], dtype=object))
    (root / "preds").mkdir()
    (root / "pickled/annotations").mkdir(parents=True)
    (root / "pickled/Training-labeled/images").mkdir(parents=True)
    (root / "pickled/Training-labeled/labels").mkdir(parents=True)
    targets = ("annotations/instances_val.json", "instances.json", "livecell_coco_val.json")
    targets += ("instances_val2019_EVICAN2.json", "a.png")
    targets += ("Training-labeled/images/c.png", "Training-labeled/labels/c_label.tiff")
    for target in (root / "preds/index.json", *(root / "pickled" / name for name in targets)):
        target.write_bytes(pickle.dumps(code))
    (root / "results.json").write_text("[]")
    return {
        "root": str(root),
        "evil": str(root / "evil.pth"),
        "demo": str(demo_set),
        "image": str(next((demo_set / "images/val").iterdir())),
        "ann": str(demo_set / "annotations/instances_val.json"),
        "out": str(root / "out"),
        "refine": str(refine),
        **{name: str(root / name) for name in ("npy", "runs", "preds", "pickled")},
        "instance": str(root / "instance.py"),
        "results": str(root / "results.json"),
    }


@pytest.mark.parametrize("name", READS)
def test_a_tool_runs_no_code_of_a_file(
    place: dict[str, str],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if name == "refine_app.py":
        pytest.importorskip("gradio", reason="the page needs Gradio")
    tool = REPO / "tools" / name.split()[0]
    words = [word.format(**place) for word in READS[name]]
    monkeypatch.setattr(sys, "argv", [str(tool), *words])
    monkeypatch.chdir(place["root"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(tool), run_name="__main__")
    err = capsys.readouterr().err
    assert not Path(place["root"], "executed").exists()
    assert end.value.code == 2 and "error: " in err, err
    # It was this file that was refused.
    last = err.strip().splitlines()[-1]
    kinds = ("evil.pth", "npy", "per_image.npz", "index.json", "pickled")
    assert any(kind in last for kind in kinds), last
    shutil.rmtree(place["out"], ignore_errors=True)


@pytest.mark.parametrize("suffix", [".pth", ".pkl", ".ckpt", ".bin", ".safetensors", ""])
@pytest.mark.parametrize("form", ["pickle", "torch", "legacy"])
def test_libraries_read_checkpoints_by_our_loader(tmp_path: Path, suffix: str, form: str) -> None:
    file, code = tmp_path / f"evil{suffix}", Code(tmp_path / "executed")
    if form == "pickle":
        file.write_bytes(pickle.dumps(code))
    else:
        torch.save({"state_dict": code}, file, _use_new_zipfile_serialization=form == "torch")
    for load in (
        lambda: CheckpointLoader.load_checkpoint(str(file)),
        lambda: load_checkpoint(torch.nn.Linear(1, 1), str(file)),
    ):
        with pytest.raises(RuntimeError, match="evil"):
            load()
    assert not code.marker.exists()


@pytest.mark.parametrize("kind", ["DetInferencer", "SegInferencer"])
def test_inferencers_run_no_code(place: dict[str, str], kind: str) -> None:
    from attnseg.apis import inferencer

    leaves = {
        "DetInferencer": DEMO,
        "SegInferencer": "maskattn-unet_small_1xb8-400i_camvid11-semantic-128x128",
    }
    config = Config.fromfile(REPO / f"configs/maskattn_unet/{leaves[kind]}.py")
    with pytest.raises(RuntimeError, match=r"evil\.pth: not a plain weights file"):
        getattr(inferencer, kind)(config, weights=place["evil"], device="cpu")
    assert not Path(place["root"], "executed").exists()


def test_benchmarks_read_no_weights() -> None:
    config = {"backbone": {"init_cfg": {"type": "Pretrained", "checkpoint": "evil.pth"}}}
    assert "evil" not in json.dumps(without_weights(config))
