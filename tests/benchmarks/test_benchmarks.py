"""Each benchmark script runs at a tiny size and ends in one line of JSON."""

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
TINY = {
    "iaunet": ["--size", "64", "--encoders", "small", "--batches", "1", "--objects", "2"]
    + ["--threads", "1", "--repeats", "1"],
    "attention": ["--tokens", "96", "--channels", "8", "--threads", "1", "--repeats", "1"],
    "contrastive": ["--size", "8", "--instances", "3", "--threads", "1", "--repeats", "1"],
    "bootstrap": ["--images", "12", "--resamples", "5", "--threads", "1", "--repeats", "2"],
    "metrics": ["--images", "1", "--side", "64", "--threads", "1", "--repeats", "1"],
    "mask_postprocess": ["--size", "64", "--masks", "12", "--kinds", "cells"]
    + ["--threads", "1", "--repeats", "1", "--rounds", "1"],
    "doctor": ["--images", "40", "--objects", "1200", "--decoded", "50", "--threads", "1"],
    "overfit": ["--image", "0", "--iters", "2", "--batch", "1", "--window", "32"]
    + ["--threads", "1"],
    "solov2": ["--shape", "64", "64", "--threads", "1", "--repeats", "1"],
    "solov2_ablations": ["--rows", "1", "8", "--shape", "64", "96", "--batch", "2"]
    + ["--batches", "1", "--rounds", "4", "--threads", "1"],
    "refinement": ["--size", "48", "--models", "tiny16-32", "refine_best", "--threads", "1"]
    + ["--repeats", "1"],
    "refinement_pipeline": ["--samples", "3", "--pairs", "2", "--repeats", "1"],
    "export": ["--models", "refine_best", "--repeats", "1"],
    "soak": ["--steps", "4", "--images", "4", "--cases", "train maskattn_unet", "MaskRefiner"],
    "complexity": ["--size", "32", "--presets", "small", "--threads", "1", "--repeats", "1"],
}


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> object:
    """Run a script's main function with its results in a folder of the test."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(importlib.import_module("common"), "RESULTS", tmp_path)

    def main(name: str, *options: str, result: str | None = None) -> dict:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *TINY[name], *options])
        importlib.import_module(name).main()
        last = capsys.readouterr().out.rstrip().splitlines()[-1]
        assert last.startswith("RESULT ")
        record = json.loads(last.removeprefix("RESULT "))
        written = tmp_path / f"{result or name + '_custom'}.json"
        assert json.loads(written.read_text(encoding="utf-8")) == record
        assert record["machine"]["threads"] == 1
        return record

    return main


@pytest.mark.slow
def test_attention(run: object) -> None:
    record = run("attention")
    errors = {
        key: value for key, value in record.items() if key.startswith("max_abs_") and "error" in key
    }
    assert len(errors) == 5
    assert all(0 <= value < 1e-5 for value in errors.values())
    for name in ("forward", "forward_backward"):
        assert record[f"{name}_time_ratio"] > 0


@pytest.mark.slow
def test_contrastive(run: object) -> None:
    record = run("contrastive")
    assert record["loss_error_float64"] < 1e-8
    assert record["gradient_error_float64"] < 1e-8


def test_bootstrap(run: object) -> None:
    record = run("bootstrap")
    assert record["resamples_compared"] == 3
    # AP, three thresholds and sizes, recalls, and three values of 80 classes.
    assert record["values_compared"] == 3 * (10 + 3 * 80)
    assert record["max_abs_difference"] < 1e-12
    low, high = record["ap_interval"]
    assert 0 < low < high < 1
    assert record["time_ratio_extrapolated"] > 0


def test_doctor(run: object) -> None:
    record = run("doctor")
    assert record["findings"] == record["planted"]
    assert record["objects_decoded"] == 50
    assert record["cpu_time_ratio_extrapolated"] > 0


def test_complexity(run: object) -> None:
    record = run("complexity")
    models = record["models"]
    assert set(models) == {"small, attention", "small, plain", "Mask2Former-R50"}
    assert models["small, plain"]["gmacs"] < models["small, attention"]["gmacs"]
    # The published size of this network is 44 M parameters.
    assert models["Mask2Former-R50"]["params_m"] == pytest.approx(44, abs=0.5)
    for kind in ("raw", "predict"):
        assert record[f"mask2former_over_small_{kind}"] > 0


@pytest.mark.slow
def test_metrics(run: object) -> None:
    metrics = run("metrics")["metrics"]
    assert len(metrics) == 8
    for name, row in metrics.items():
        assert row["seconds"] > 0
        if name in ("HD95", "ASD") and importlib.util.find_spec("monai") is None:
            assert row["missing"] == "monai is not installed"
            continue
        # mmseg rounds to a hundredth of a percent, MONAI computes in float32.
        bound = {"SemanticMetric": 5.1e-5, "HD95": 1e-5, "ASD": 1e-5}.get(name, 1e-12)
        assert row["max_abs_difference"] <= bound, name
        assert row["time_ratio"] > 0


@pytest.mark.slow
def test_refinement(run: object) -> None:
    models = run("refinement")["models"]
    assert models["tiny16-32"]["params_m"] == 0.117681
    assert models["tiny16-32"]["network_size"] == [48, 48]
    assert models["refine_best"]["params_m"] <= 10
    assert all(row["ms"] > 0 and row["gmacs"] > 0 for row in models.values())


def test_refinement_pipeline(
    run: object, data_root: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = importlib.import_module("refinement_pipeline")
    common = importlib.import_module("common")

    def here(factory: Callable, *args: object, **_: object) -> object:
        start = time.perf_counter()
        value = factory(*args)()
        return common.Measurement(time.perf_counter() - start, [], 0.0, value)

    # A process for each side is a matter of seconds.
    monkeypatch.setattr(script, "measure", here)
    real = data_root is not None and (data_root / "coco_mini").is_dir()
    record = run("refinement_pipeline", *(["--data", str(data_root / "coco_mini")] if real else []))
    for row in record["samples"].values():
        assert row["samples_per_second"] > 0
        assert row["most_pixels_that_differ_in_these"] <= 30
        assert row["max_abs_difference_gradient"] < 1e-6
    assert record["hausdorff"]["pairs"] == 2
    assert record["hausdorff"]["max_abs_difference"] == 0


@pytest.mark.slow
def test_mask_postprocess(run: object) -> None:
    figures = run("mask_postprocess")["cells"]
    assert 0 < figures["kept"] < 12
    assert figures["nms_same_kept"]
    assert 0 < figures["whole_kept"] < 12
    assert figures["whole_different_pixels"] <= 1e-4 * figures["whole_foreground_pixels"]
    for name in ("nms_time_ratio", "whole_time_ratio"):
        assert figures[name] > 0


def test_products_of_linear_layers_in_attention_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    script = importlib.import_module("iaunet")
    model = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    query, memory = torch.randn(1, 5, 8), torch.randn(1, 7, 8)
    for run in (
        lambda m: m(query, memory, memory),
        lambda m: m(query, key=memory, value=memory),
    ):
        # In and out projections of 5 queries, and those of 7 keys and values.
        found = script._size(model, run)["conv_linear_x2_g"]
        assert found == pytest.approx(2e-9 * (2 * 5 + 2 * 7) * 8 * 8)


def test_overfit(run: object, demo_set: Path) -> None:
    record = run("overfit", "--data", str(demo_set), result="overfit_custom")
    assert record["arguments"]["iters"] == 2
    assert record["instances"] > 0
    assert 0 <= record["coco/AP"] <= 1
    settings = record["settings of CocoInstanceMetric"]
    assert settings["max_dets"] == [1, 100, 1000]
    assert record["settings of CellMetric"]


@pytest.mark.slow
def test_iaunet(run: object) -> None:
    record = run("iaunet")
    sizes = record["sizes"]
    assert len(sizes) == 5
    assert sizes["small code both full"]["gmacs"] > sizes["small code instance full"]["gmacs"]
    # Products of attention are missing in twice the convolutions and linear layers.
    assert all(0 < row["conv_linear_x2_g"] < 2 * row["gmacs"] for row in sizes.values())
    for row in record["memory"].values():
        # The step adds at least the gradients to parameters and input.
        assert row["peak_mib"] > 1.9 * row["before_mib"]
        assert len(row["largest"]) == 10
        # Parameters and buffers are most of what is there before; AdamW keeps two of each number.
        assert 1.8 * row["before_mib"] < row["peak_adamw_mib"] - row["peak_mib"] + 1e-6
    assert len(record["ratios"]) == 12
    assert all(value > 0 for value in record["ratios"].values())


@pytest.fixture
def demo_as_coco(demo_set: Path, tmp_path: Path) -> Path:
    """The demo set under the names of COCO's files."""
    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        name = f"annotations/instances_{split}"
        (root / f"{name}2017.json").symlink_to(demo_set / f"{name}.json")
        (root / f"{split}2017").symlink_to(demo_set / f"images/{split}")
    return root


@pytest.mark.slow
def test_solov2_ablations_on_generated_images(run: object, demo_as_coco: Path) -> None:
    name = "solov2_ablations"
    record = run(name, "--data", str(demo_as_coco), result=f"{name}_custom")
    assert list(record["rows"]) == ["1: SOLOv2", "8: all"]
    assert record["all_fall"]


@pytest.mark.slow
def test_solov2(run: object, monkeypatch: pytest.MonkeyPatch) -> None:
    script = importlib.import_module("solov2")
    common = importlib.import_module("common")

    def here(factory: Callable, *args: object, **_: object) -> object:
        factory(*args)()
        return common.Measurement(1.0, [1.0], 1.0, None)

    # A process for each pass is a matter of seconds.
    monkeypatch.setattr(script, "measure", here)
    record = run("solov2")
    sizes = record["sizes"]
    assert len(sizes) == 7
    for depth in (50, 101):
        assert record[f"backbone_macs_over_resnet{depth}"] < 1
    # The published sizes of these backbones without their classifiers are 23.5 and 42.5 M.
    assert sizes["SOLOv2, R50"]["backbone_params_m"] == pytest.approx(23.5, abs=0.1)
    assert sizes["SOLOv2, R101"]["backbone_params_m"] == pytest.approx(42.5, abs=0.1)
    assert record["latency"]["SOLOv2"]["over_solov2"] == 1
    assert record["full_over_solov2"] == record["latency"]["CSPAM-SOLOv2"]["over_solov2"]
    assert len(record["peak_mib"]) == 9


@pytest.mark.slow
def test_export(run: object) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    record = run("export")
    assert record["worst_error"] < 1e-4
    row = record["models"]["refine_best"]
    assert row["sizes"][0] != row["sizes"][1] and row["onnx_mb"] > row["params_m"]


@pytest.mark.slow
def test_soak(run: object) -> None:
    cases = run("soak")["cases"]
    assert set(cases) == {"train maskattn_unet", "MaskRefiner"}
    for name, case in cases.items():
        assert case["steps"] == 4
        assert len(case["samples"]) == 4
        assert case["resident_mib"]["start"] > 0
        # The validation's workers came with it; those of the training before the first sample.
        assert (case["workers_mib"]["end"] > 0) == (name == "train maskattn_unet")
