"""RecordHook in real runners."""

import errno
import json
import random
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from attnseg import _atomic
from attnseg.engine import provenance, run_record
from attnseg.engine.hooks import record as record_module
from attnseg.file_hash import file_hash
from attnseg.per_image import ImageRef, PerImageTable, read_tables
from tests.engine.recorded import HOOK, MACS, PARAMS, Own, make_runner, records_in

SCHEMA = {
    "schema": int,
    "id": str,
    "mode": str,
    "started": str,
    "finished": str,
    "name": str,
    "work_dir": str,
    "config": {"file": None, "hash": str, "init": None},
    "checkpoint": {"file": str, "sha256": str, "config_hash": str},
    "git": {"revision": str, "dirty": bool},
    "data": {
        **{"type": str, "split": None, "annotations": None, "hash": None, "images": int},
        **{"classes": None, "things": None},
    },
    "evaluators": list,
    "metrics": dict,
    "intervals": {"level": float, "resamples": int, "seed": int, "method": str},
    "seed": int,
    "world_size": int,
    "tta": bool,
    "iter": int,
    "epoch": int,
    "versions": dict,
    "hardware": dict,
    "cost": {
        "params": int,
        "macs": int,
        "input": None,
        "batch_size": int,
        "latency_ms_p50": float,
        "latency_ms_p95": float,
        "images_per_second": float,
        "peak_memory_mib": float,
        "device": str,
        "training_seconds": float,
    },
    "command": str,
    "per_image": str,
    "predictions": None,
}


def _check(value: object, schema: object, where: str = "record") -> None:
    if isinstance(schema, dict):
        assert set(value) == set(schema), where
        for key, part in schema.items():
            _check(value[key], part, f"{where}.{key}")
    elif schema is None:
        assert value is None, where
    else:
        assert type(value) is schema, (where, value)


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """A revision also where the tests run from an archive."""
    found = {"revision": "a" * 40, "dirty": False}
    monkeypatch.setattr(run_record, "git_state", lambda *files: found)


def test_training_and_test_leave_completerecords_in(tmp_path: Path, repository: None) -> None:
    runner = make_runner(tmp_path)
    runner.train()
    (record,) = records_in(tmp_path)
    _check(record, SCHEMA)
    assert (record["mode"], record["seed"], record["iter"], record["epoch"]) == ("train", 3, 6, 2)
    started, finished = (datetime.fromisoformat(record[key]) for key in ("started", "finished"))
    assert started <= finished and started.utcoffset() == timedelta(0)
    assert record["metrics"] == {
        "own/third": {"value": 8 / 3, "low": 0.95, "high": 10.0},
        "own/undefined": {"value": None, "low": None, "high": None},
        "own/IoU/a": {"value": 0.5, "low": 0.25, "high": 0.75},
    }
    assert record["evaluators"] == [
        {
            "type": "Own",
            "prefix": "own",
            "settings": {"limit": 0.5, "classes": ["a"]},
            "annotations": None,
        }
    ]
    assert record["data"]["images"] == 8
    cost = record["cost"]
    assert (cost["params"], cost["macs"], cost["batch_size"]) == (PARAMS, MACS, 2)
    assert 0 < cost["training_seconds"] < 60 and cost["peak_memory_mib"] > 50
    last = tmp_path / "epoch_2.pth"
    assert record["checkpoint"]["sha256"] == file_hash(last)

    tester = make_runner(tmp_path / "test", load_from=str(last), randomness={"seed": 9})
    tester.test()
    (tested,) = records_in(tmp_path / "test")
    _check(tested, SCHEMA)
    assert tested["metrics"]["own/third"]["value"] == 10 / 3
    # What belongs to the weights is that of their training.
    assert (tested["mode"], tested["seed"], tested["iter"], tested["epoch"]) == ("test", 3, 6, 2)
    assert tested["checkpoint"] == record["checkpoint"]
    assert 0 < tested["cost"]["training_seconds"] <= cost["training_seconds"]


def test_statistics_lie_beside_the_result_and_beside_the_record(tmp_path: Path) -> None:
    runner = make_runner(tmp_path)
    runner.train()
    runner.test()
    train, test = records_in(tmp_path)
    folder = next(tmp_path.glob("*_*/record.json")).parent
    latest = read_tables(tmp_path / "per_image.npz")["own"]
    assert len(latest.images) == 10
    assert json.loads((tmp_path / "result.json").read_text())["per_image"] == "per_image.npz"
    assert (train["per_image"], test["per_image"]) == ("per_image.npz", "per_image-2.npz")
    for record, total in ((train, 8), (test, 10)):
        assert len(read_tables(folder / record["per_image"])["own"].images) == total
    # A metric without statistics does not keep those of an earlier evaluation.
    make_runner(tmp_path, evaluator={"type": "Foreign"}).test()
    assert not (tmp_path / "per_image.npz").exists()
    assert len(read_tables(folder / "per_image.npz")["own"].images) == 8


def test_objects_of_one_image_are_one_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute(self: Own, results: list) -> dict[str, float]:
        # Five images of two objects each.
        images = tuple(ImageRef(i, "") for i in range(len(results) // 2))
        self.table = PerImageTable("Own", "own", self.settings, ("a",), images)
        return {"third": 1.0}

    monkeypatch.setattr(Own, "compute_metrics", compute)
    make_runner(tmp_path).test()
    (record,) = records_in(tmp_path)
    assert record["data"]["images"] == 5


def test_a_second_run_in_the_same_second_keeps_the_first_record(tmp_path: Path) -> None:
    runner = make_runner(tmp_path)
    for total in (1, 2, 3):
        before = {path: path.read_bytes() for path in tmp_path.glob("*_*/record*.json")}
        runner.test()
        assert len(records_in(tmp_path)) == total
        assert all(path.read_bytes() == content for path, content in before.items())
    assert len({record["id"] for record in records_in(tmp_path)}) == 3


def test_a_foreign_metric_has_values_and_its_config_for_settings(tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    truth.write_text("{}")
    evaluator = [
        {
            "type": "Foreign",
            "ann_file": str(truth),
            "thresholds": (0.5, 1),
            "collect_device": "cpu",
        },
        {"type": "Own", "prefix": "own"},
    ]
    make_runner(tmp_path / "run", evaluator=evaluator).test()
    (record,) = records_in(tmp_path / "run")
    assert record["metrics"]["score"] == {"value": 2.5, "low": None, "high": None}
    assert record["metrics"]["text"] == {"value": None, "low": None, "high": None}
    assert record["evaluators"][0] == {
        "type": "Foreign",
        "prefix": "",
        "settings": {"thresholds": [0.5, 1]},
        "annotations": file_hash(truth),
    }


def test_without_intervals_and_without_validation(tmp_path: Path) -> None:
    hook = {**HOOK, "resamples": 0}
    none = {"val_dataloader": None, "val_cfg": None}
    iterations = {"by_epoch": False, "max_iters": 3}
    settings = {"hooks": (hook,), "train_cfg": iterations, **none}
    runner = make_runner(tmp_path, **settings, val_evaluator=None)
    runner.train()
    (record,) = records_in(tmp_path)
    assert record["metrics"] == {} and record["evaluators"] == [] and record["per_image"] is None
    assert record["data"] is None and record["intervals"] is None and record["iter"] == 3
    # Counted on an image of the training instead.
    assert record["cost"]["macs"] == MACS and record["cost"]["latency_ms_p50"] is None
    runner.test()
    tested = records_in(tmp_path)[1]
    assert tested["intervals"] is None and tested["metrics"]["own/third"]["low"] is None


def test_iterations_with_validation(tmp_path: Path) -> None:
    loop = {"by_epoch": False, "max_iters": 4, "val_interval": 2}
    make_runner(tmp_path, train_cfg=loop).train()
    (record,) = records_in(tmp_path)
    assert record["iter"] == 4 and record["cost"]["images_per_second"] > 0


def test_the_clock_goes_on_after_a_resume(tmp_path: Path) -> None:
    make_runner(tmp_path).train()
    checkpoint = torch.load(tmp_path / "epoch_2.pth", weights_only=False)
    checkpoint["meta"]["attnseg"]["training_seconds"] = 1000.0
    torch.save(checkpoint, tmp_path / "known.pth")
    del checkpoint["meta"]["attnseg"]
    torch.save(checkpoint, tmp_path / "unknown.pth")
    found = []
    for name in ("known", "unknown"):
        longer = {"by_epoch": True, "max_epochs": 3}
        start = {"load_from": str(tmp_path / f"{name}.pth"), "resume": True}
        make_runner(tmp_path / name, train_cfg=longer, **start).train()
        (record,) = records_in(tmp_path / name)
        found.append(record["cost"]["training_seconds"])
    assert 1000 < found[0] < 1060
    # The part that is known would be too little.
    assert found[1] is None


def _state(folder: Path, hooks: tuple) -> dict[str, object]:
    runner = make_runner(folder, hooks)
    runner.train()
    metrics = runner.test()
    states = (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist())
    weights = {key: value.tolist() for key, value in runner.model.state_dict().items()}
    return {"weights": weights, "random": states, "metrics": repr(metrics)}


def test_the_run_is_the_same_without_the_hook(tmp_path: Path) -> None:
    with_hook = _state(tmp_path / "with", (HOOK,))
    assert len(records_in(tmp_path / "with")) == 2
    assert with_hook == _state(tmp_path / "without", ())


def test_what_cannot_be_found_out_is_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr(record_module, "config_hash", fail)
    for name in ("git_state", "describe_data", "describe_evaluators", "versions"):
        monkeypatch.setattr(run_record, name, fail)
    for name in ("hardware", "command", "file_hash"):
        monkeypatch.setattr(run_record, name, fail)
    monkeypatch.setattr(run_record.cost, "count_image", fail)
    monkeypatch.setattr(run_record.cost, "peak_memory_mib", fail)
    monkeypatch.setattr(Own, "intervals", fail)
    make_runner(tmp_path).train()
    (record,) = records_in(tmp_path)
    for name in ("git", "data", "evaluators", "versions", "hardware", "command", "intervals"):
        assert record[name] is None, name
    assert record["config"]["hash"] is None and record["checkpoint"]["sha256"] is None
    cost = record["cost"]
    assert cost["macs"] is None and cost["input"] is None and cost["peak_memory_mib"] is None
    assert cost["params"] == PARAMS
    assert record["metrics"]["own/third"] == {"value": 8 / 3, "low": None, "high": None}
    (log,) = tmp_path.rglob("*.log")
    assert "run record: MACs unknown: RuntimeError: no luck" in log.read_text()


def test_no_git_is_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_TIMEOUT", 1e-9)
    make_runner(tmp_path).test()
    (record,) = records_in(tmp_path)
    assert record["git"] is None and record["checkpoint"] is None


def test_a_full_disk_fails_by_name_and_keeps_the_old_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = make_runner(tmp_path)
    runner.test()
    kept = [tmp_path / "result.json", tmp_path / "per_image.npz", *tmp_path.glob("*_*/record.json")]
    before = [path.read_bytes() for path in kept]

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_atomic.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        runner.test()
    monkeypatch.setattr(runner, "_hooks", [hook for hook in runner.hooks if _is_record(hook)])
    with pytest.raises(OSError, match=r"No space left.*per_image-2\.npz"):
        runner.test()
    assert [path.read_bytes() for path in kept] == before
    assert not list(tmp_path.rglob("*.tmp")) and not list(tmp_path.rglob(".per_image*"))


def _is_record(hook: object) -> bool:
    return type(hook).__name__ == "RecordHook"


def test_a_shared_folder_gets_copies(tmp_path: Path) -> None:
    hook = {**HOOK, "results_dir": str(tmp_path / "results")}
    for name in ("a", "b"):
        make_runner(tmp_path / name, hooks=(hook,)).test()
    copies = [json.loads(path.read_text()) for path in (tmp_path / "results").glob("*.json")]
    originals = records_in(tmp_path / "a") + records_in(tmp_path / "b")
    assert {copy["id"] for copy in copies} == {record["id"] for record in originals}
    for copy in copies:
        assert len(read_tables(tmp_path / "results" / copy["per_image"])["own"].images) == 10


def test_validation_alone_leaves_no_record(tmp_path: Path) -> None:
    make_runner(tmp_path).val()
    assert records_in(tmp_path) == [] and (tmp_path / "result.json").is_file()


@pytest.mark.parametrize("bad", [{"resamples": -1}, {"level": 1.0}, {"level": 0.0}])
def test_bad_arguments_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="resamples of at least 0 and a level between 0 and 1"):
        record_module.RecordHook(**bad)


def test_a_sharded_model_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sharded(model: object) -> None:
        raise RuntimeError("Wrapper may have spread it")

    def hang(*args: object) -> None:
        raise AssertionError("a pass of one process waits for the others")

    monkeypatch.setattr(run_record.cost, "require_whole", sharded)
    monkeypatch.setattr(run_record.cost, "count_image", hang)
    make_runner(tmp_path).test()
    (record,) = records_in(tmp_path)
    cost = record["cost"]
    assert cost["params"] is None and cost["macs"] is None and cost["input"] is None
    assert cost["latency_ms_p50"] > 0
    (log,) = tmp_path.rglob("*.log")
    assert "Wrapper may have spread it" in log.read_text()
    assert "waits for the others" not in log.read_text()
