"""tools/benchmark.py: what it counts, and how it goes on when a config fails."""

import csv
import importlib.util
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from attnseg.apis import benchmark
from attnseg.apis.benchmark import Row, check, run_benchmark
from attnseg.apis.benchmark_inputs import build_model, make_pass, read_model, without_weights
from attnseg.apis.benchmark_report import make_folder, text_table, write_report
from attnseg.apis.benchmark_worker import Setting, Worker
from attnseg.apis.command import UsageError
from attnseg.apis.experiment import find_config
from attnseg.engine.complexity import count

REPO = Path(__file__).resolve().parents[2]
OURS = "maskattn_unet/maskattn-unet_small_1xb8-400i_demo-panoptic-128x128.py"
SEGFORMER = "mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py"
MASK2FORMER = "mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py"
SOLOV2 = "mmdet::solov2/solov2_r50_fpn_1x_coco.py"
SMALL = Setting(shape=(64, 64), threads=1)

BROKEN = """
model = dict(type='attnseg.MaskAttnUNet', no_such_argument=1)
"""


def _count(config: str, size: int) -> tuple[int, int]:
    model = build_model(config)
    found = count(model, make_pass(model, "tensor", (size, size), 1, "cpu"))
    return found.params, found.macs


def test_segformer_has_the_published_cost() -> None:
    params, macs = _count(SEGFORMER, 512)
    # Xie et al., SegFormer, table 2: 3.8 M parameters, 8.4 G at 512x512.
    assert params / 1e6 == pytest.approx(3.8, abs=0.06)
    assert macs / 1e9 == pytest.approx(8.4, rel=0.1)


def test_the_head_of_mask2former_is_counted_in_mmseg_too() -> None:
    model = build_model(MASK2FORMER)
    run = make_pass(model, "tensor", (64, 64), 1, "cpu")
    whole = count(model, run).macs
    backbone = count(model.backbone, torch.rand(1, 3, 64, 64)).macs
    with torch.no_grad():
        classes, masks = run(model)
    assert len(classes) == len(masks) == 10  # one for the queries, nine layers of the decoder
    # Nine layers of feed-forward of 100 queries alone.
    assert whole - backbone > 9 * 2 * 100 * 256 * 2048


def test_every_head_of_solov2_is_counted() -> None:
    model = build_model(SOLOV2)
    whole = count(model, make_pass(model, "tensor", (64, 64), 1, "cpu")).macs
    cells = sum(grid**2 for grid in (40, 36, 24, 16, 12))
    # 3x3 convolutions to 512 channels: four for the category, four for the kernel, whose first
    # one gets two coordinates more; then 80 categories and 256 numbers of the kernel.
    towers = (256 + 3 * 512) + (258 + 3 * 512)
    head = cells * 9 * 512 * (towers + 80 + 256)
    assert head < whole < head + 3e9


def test_no_weights_are_named_anywhere() -> None:
    config = {
        "pretrained": "open-mmlab://x",
        "backbone": {"init_cfg": {"type": "Pretrained", "checkpoint": "x.pth"}, "depth": 50},
        "heads": [{"init_cfg": [1]}, ({"init_cfg": 2},)],
    }
    assert without_weights(config) == {
        "pretrained": None,
        "backbone": {"init_cfg": None, "depth": 50},
        "heads": [{"init_cfg": None}, ({"init_cfg": None},)],
    }
    model, scope = read_model(SOLOV2)
    assert scope == "mmdet" and model.backbone.init_cfg is None


def test_a_worker_measures_both_modes_and_precisions() -> None:
    expected = sum(p.numel() for p in build_model(OURS).parameters())
    for mode in ("tensor", "predict"):
        # In its own process, as ever: this one frees memory of other tests meanwhile.
        with benchmark._workers([OURS], Setting(shape=(64, 64), mode=mode)) as (worker,):
            sizes = worker.ask("build")
            assert sizes["params"] == expected and sizes["macs"] > 1e7
            for dtype in ("fp32", "bf16"):
                assert worker.ask("prepare", dtype, 2, 1) > 0
                assert worker.ask("turn") > 0


def test_bfloat16_is_what_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, seen = Worker(OURS, SMALL), []
    worker.build()
    conv = next(m for m in worker.model.modules() if isinstance(m, nn.Conv2d))
    conv.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    for dtype in ("fp32", "bf16"):
        worker.prepare(dtype, 1, 1)
    assert seen == [torch.float32, torch.bfloat16]


@pytest.mark.slow
def test_a_config_that_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(BROKEN)
    command = [sys.executable, str(REPO / "tools/benchmark.py"), OURS, str(broken), "no_such_one"]
    options = ["--shape", "32", "32", "--batch", "1", "2", "--repeats", "2", "--warmup", "1"]
    options += ["--threads", "1", "--out", str(tmp_path / "out")]
    result = subprocess.run(
        [*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert result.returncode == 1, result.stderr
    assert "broken: " in result.stdout and "no_such_argument" in result.stdout
    assert "no_such_one: UsageError: config 'no_such_one' not found" in result.stdout
    (file,) = (tmp_path / "out").glob("*.json")
    assert file.name.startswith("benchmark-cpu-fp32-32x32-tensor-torch")
    record = json.loads(file.read_text())
    assert [row["error"] is None for row in record["rows"]] == [True, False, False] * 2
    (
        first,
        *_,
    ) = record["rows"]
    assert first["time_ratio"] == 1 and 0 < first["latency_ms_p50"] <= first["latency_ms_p95"]
    assert first["images_per_second"] == pytest.approx(1e3 / first["latency_ms_p50"])
    assert record["hardware"]["threads"] == record["setting"]["threads"] == 1
    with open(file.with_suffix(".csv"), newline="") as table:
        rows = list(csv.DictReader(table))
    assert int(rows[0]["macs"]) == first["macs"] and rows[1]["macs"] == ""
    assert not list(tmp_path.rglob("*.tmp")) and not (tmp_path / "data").exists()


class _Script:
    """In place of a worker: a fixed answer to each order."""

    def __init__(self, seconds: list[float], error: str | None = None) -> None:
        self.seconds, self.error, self.log = iter(seconds), error, []

    def ask(self, *order: object) -> object:
        self.log.append(order[0])
        if self.error:
            return None
        return {
            "build": lambda: {"params": 2, "macs": 3},
            "prepare": lambda: 5.0,
            "turn": lambda: next(self.seconds),
        }[order[0]]()


def test_ratios_are_taken_turn_by_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    # The machine is ten times slower in the second round: the ratio does not see it.
    scripts = [_Script([1.0, 10.0, 1.0]), _Script([2.0, 20.0, 2.0]), _Script([], "out of luck")]

    class Workers:
        def __init__(self, *args: object) -> None: ...

        def __enter__(self) -> list[_Script]:
            return scripts

        def __exit__(self, *args: object) -> None: ...

    monkeypatch.setattr(benchmark, "_workers", Workers)
    rows = run_benchmark(["a/x.py", "b/y.py", "z"], setting=SMALL, batches=[4], repeats=3)
    assert [row.name for row in rows] == ["x", "y", "z"]
    assert [row.time_ratio for row in rows] == [1.0, 2.0, None]
    assert rows[0].latency_ms_p50 == 1000 and rows[0].latency_ms_p95 == pytest.approx(9100)
    assert rows[1].images_per_second == 2 and rows[1].peak_memory_mib == 5
    assert rows[2] == Row("z", "fp32", 4, error="out of luck")
    assert "z: out of luck" in text_table(rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"configs": ["a", "a"]}, "config given twice: a"),
        ({"batches": [0]}, "--batch: expected numbers of at least 1"),
        ({"dtypes": ["fp16"]}, "--dtype fp16: half precision needs a GPU"),
        ({"setting": Setting(shape=(0, 8))}, "--shape: expected"),
    ],
)
def test_what_cannot_be_measured_is_refused(change: dict, message: str) -> None:
    good = {"configs": ["a"], "dtypes": ["fp32"], "batches": [1], "setting": SMALL}
    with pytest.raises(UsageError, match=message):
        check(**{**good, **change})
    with pytest.raises(UsageError, match="--repeats"):
        run_benchmark(["a"], setting=SMALL, repeats=0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_said() -> None:
    with pytest.raises(UsageError, match="torch sees no GPU"):
        check(["a"], ["fp32"], [1], Setting(device="cuda"))


def test_a_dead_process_is_an_error_of_its_config() -> None:
    import multiprocessing

    remote = benchmark._Remote(multiprocessing.get_context("spawn"), "x", SMALL)
    remote._process.kill()
    assert remote.ask("build") is None and remote.ask("turn") is None
    assert "exit code -9" in remote.error and "--shape" in remote.error
    remote.stop()


def test_same_stems_keep_their_whole_names(tmp_path: Path) -> None:
    assert benchmark._short_names(["mmdet::a/x.py", "b/x.py"]) == ["mmdet::a/x.py", "b/x.py"]
    rows = [Row("x", "bf16", 1, 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0)]
    compiled = Setting(shape=(8, 16), compile=True, mode="predict")
    table, record = write_report(rows, compiled, tmp_path, repeats=1)
    assert table.name.startswith("benchmark-cpu-bf16-8x16-predict-compiled-torch")
    assert record.stem == table.stem


def test_a_report_never_takes_the_place_of_another(tmp_path: Path) -> None:
    written = []
    for name in ("a", "b", "c"):
        rows = [Row(name, "fp32", 1)]
        written += write_report(rows, SMALL, tmp_path, repeats=1)
        if name == "a":
            # A name is free only if both of its files are.
            stem = written[0].stem
            (tmp_path / f"{stem}-2.json").write_text("another's")
    assert [file.name for file in written] == [
        f"{stem}{number}.{kind}" for number in ("", "-3", "-4") for kind in ("csv", "json")
    ]
    names = [json.loads(file.read_text())["rows"][0]["name"] for file in written[1::2]]
    assert names == ["a", "b", "c"]
    assert [file.read_text().splitlines()[1].split(",")[0] for file in written[::2]] == names
    assert (tmp_path / f"{stem}-2.json").read_text() == "another's"
    assert len(list(tmp_path.iterdir())) == 7


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="--out: folder '.*file' cannot be made: File exists"):
        make_folder(tmp_path / "file")
    assert make_folder(tmp_path / "a/b").is_dir()


def test_the_documented_command_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (REPO / "docs/benchmark.md").read_text()
    block = text.split("```bash\n", 1)[1].split("```", 1)[0]
    python, tool, *arguments = shlex.split(block.replace("\\\n", " "))
    assert python == "python" and tool == "tools/benchmark.py"
    spec = importlib.util.spec_from_file_location("benchmark_tool", REPO / tool)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", [tool, *arguments])
    args = module.parse_args()
    assert len(args.configs) == 7 and args.shape == [128, 128] and args.batch == [1, 4]
    for config in args.configs:
        assert find_config(config).is_file()
