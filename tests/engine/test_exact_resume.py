"""A training stopped anywhere, by any signal, ends with the weights of one that was not."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.utils.data import Dataset

from attnseg.engine import signals
from attnseg.engine.checkpoint_files import newest_valid
from attnseg.engine.hooks import ExactResumeHook, PreemptionHook, StepLogHook
from attnseg.engine.signals import EXIT_STATUS, Preempted
from tests.engine.recorded import loader, make_runner

EPOCHS, STEPS_PER_EPOCH = 4, 5
LAST = EPOCHS * STEPS_PER_EPOCH


class Images(Dataset):
    """Each image another one at each visit."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = torch.full((3, 4, 4), float(index)) + torch.rand(3, 4, 4) + random.random()
        return {"inputs": image, "data_samples": BaseDataElement(metainfo={"img_id": index})}


class Numbers(Dataset):
    """What the validation of the recorded runs reads, for worker processes."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> int:
        return index


def collate(batch: list[int]) -> dict[str, Any]:
    return loader(8)["collate_fn"](batch)


class Signal(Hook):
    """Send a signal to this process at one point of the run."""

    priority = "VERY_HIGH"

    def __init__(self, point: str, step: int, number: int) -> None:
        self.point, self.step, self.number = point, step, number

    def _send(self, runner: Runner, point: str) -> None:
        if (point, runner.iter) == (self.point, self.step):
            os.kill(os.getpid(), self.number)

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        self._send(runner, "train")

    def before_val_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        self._send(runner, "val")


class KillWorkers(Hook):
    """Tell the data workers what Slurm tells every process of a job."""

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        if batch_idx == 0:
            workers = multiprocessing.active_children()
            assert len(workers) == 2
            for name in ("-USR1", "-TERM"):
                # From another process: they obey their parent.
                subprocess.run(["kill", name, *(str(worker.pid) for worker in workers)])


def _loop(kind: str) -> dict[str, Any]:
    by_epoch = kind == "epochs"
    length = {"max_epochs": EPOCHS} if by_epoch else {"max_iters": LAST}
    interval = 2 if by_epoch else 4
    return {
        "train_cfg": {"by_epoch": by_epoch, **length, "val_interval": interval},
        "param_scheduler": [
            {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "end": 7},
            {"type": "MultiStepLR", "milestones": [2], "by_epoch": by_epoch},
        ],
        "checkpoint": {
            "type": "CheckpointHook",
            "by_epoch": by_epoch,
            "interval": interval,
            "max_keep_ckpts": 2,
        },
    }


def train(
    folder: Path, kind: str, *hooks: Hook, resume: bool = False, workers: int = 0, **more: Any
) -> Runner:
    settings = _loop(kind)
    data = {
        "dataset": Images(),
        "batch_size": 2,
        "num_workers": workers,
        "sampler": {"type": more.pop("sampler", "DefaultSampler"), "shuffle": True},
        "collate_fn": {"type": pseudo_collate},
    }
    if resume:
        more |= {"load_from": str(newest_valid(folder).path), "resume": True}
    optimizer = {"optimizer": {"type": "AdamW", "lr": 0.01}, **more.pop("optimizer", {})}
    watchers = more.pop("custom", ())
    runner = make_runner(
        folder,
        watchers,
        train_dataloader=data,
        train_cfg=settings["train_cfg"],
        param_scheduler=more.pop("param_scheduler", settings["param_scheduler"]),
        optim_wrapper=optimizer,
        default_hooks={"checkpoint": {**settings["checkpoint"], **more.pop("checkpoint", {})}},
        **more,
    )
    for hook in (StepLogHook(), PreemptionHook(), ExactResumeHook(), *hooks):
        runner.register_hook(hook)
    runner.train()
    return runner


def weights(runner: Runner) -> list[Tensor]:
    state = runner.model.state_dict()
    moments = runner.optim_wrapper.state_dict()["state"]
    return [*state.values(), *(moments[0][key] for key in ("exp_avg", "exp_avg_sq"))]


def assert_equal(first: Runner, second: Runner) -> None:
    for a, b in zip(weights(first), weights(second), strict=True):
        assert torch.equal(a, b)


def log(folder: Path) -> list[tuple[str, int]]:
    lines = (folder / "training.jsonl").read_text().splitlines()
    return [(entry["mode"], entry["iter"]) for entry in map(json.loads, lines)]


@pytest.fixture(autouse=True)
def _default_signals() -> Any:
    yield
    signals.stop_listening()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    runs: dict[str, tuple[Runner, Path]] = {}

    def get(kind: str) -> tuple[Runner, Path]:
        if kind not in runs:
            folder = tmp_path_factory.mktemp(kind)
            runs[kind] = train(folder, kind), folder
        return runs[kind]

    return get


@pytest.mark.parametrize("kind", ["iterations", "epochs"])
@pytest.mark.parametrize("step", [0, 3, 4, 9, 10, 12, LAST - 1])
def test_stopped_in_a_step(whole: Any, tmp_path: Path, kind: str, step: int) -> None:
    expected, folder = whole(kind)
    number = signal.SIGUSR1 if step % 2 else signal.SIGTERM
    with pytest.raises(Preempted) as stop:
        train(tmp_path, kind, Signal("train", step, number))
    assert stop.value.code == EXIT_STATUS == 75
    assert newest_valid(tmp_path).iteration == step + 1
    assert_equal(expected, train(tmp_path, kind, resume=True))
    assert log(tmp_path) == log(folder)
    assert [entry for mode, entry in log(folder) if mode == "train"] == list(range(1, LAST + 1))
    assert {path.name for path in tmp_path.glob("*.pth")} == {
        path.name for path in folder.glob("*.pth")
    }


@pytest.mark.parametrize(("kind", "step"), [("iterations", 8), ("epochs", 10), ("epochs", LAST)])
def test_stopped_in_a_validation(whole: Any, tmp_path: Path, kind: str, step: int) -> None:
    expected, folder = whole(kind)
    with pytest.raises(Preempted):
        train(tmp_path, kind, Signal("val", step, signal.SIGUSR1))
    assert log(tmp_path)[-1] == ("train", step)
    resumed = train(tmp_path, kind, resume=True)
    assert_equal(expected, resumed)
    assert log(tmp_path) == log(folder)


def test_stopped_again_and_again(whole: Any, tmp_path: Path) -> None:
    expected, folder = whole("epochs")
    for step in (1, 2, 3, 7, 8, 16):
        with pytest.raises(Preempted):
            train(tmp_path, "epochs", Signal("train", step, signal.SIGUSR1), resume=step > 1)
    assert_equal(expected, train(tmp_path, "epochs", resume=True, workers=1))
    assert log(tmp_path) == log(folder)


def test_steps_behind_a_lost_checkpoint_stand_once_in_the_log(whole: Any, tmp_path: Path) -> None:
    expected, folder = whole("iterations")
    with pytest.raises(Preempted):
        train(tmp_path, "iterations", Signal("train", 10, signal.SIGUSR1))
    # As after a kill: what is left is the checkpoint of step 8.
    (tmp_path / "preempted.pth").unlink()
    with (tmp_path / "training.jsonl").open("a") as file:
        file.write('{"mode": "train", "it')
    assert_equal(expected, train(tmp_path, "iterations", resume=True))
    assert log(tmp_path) == log(folder)


def test_accumulated_gradients_are_waited_for(tmp_path: Path) -> None:
    optimizer = {"accumulative_counts": 4}
    expected = train(tmp_path / "whole", "iterations", optimizer=optimizer)
    folder = tmp_path / "cut"
    with pytest.raises(Preempted):
        train(folder, "iterations", Signal("train", 9, signal.SIGUSR1), optimizer=optimizer)
    assert newest_valid(folder).iteration == 12
    assert_equal(expected, train(folder, "iterations", resume=True, optimizer=optimizer))


@pytest.mark.parametrize(("point", "step"), [("train", 4), ("val", 10)])
def test_accumulation_over_the_end_of_an_epoch(tmp_path: Path, point: str, step: int) -> None:
    optimizer = {"accumulative_counts": 4}
    expected = train(tmp_path / "whole", "epochs", optimizer=optimizer)
    folder = tmp_path / "cut"
    with pytest.raises(Preempted):
        train(folder, "epochs", Signal(point, step, signal.SIGUSR1), optimizer=optimizer)
    assert newest_valid(folder).iteration == {4: 8, 10: 12}[step]
    assert_equal(expected, train(folder, "epochs", resume=True, optimizer=optimizer))


def test_stopped_in_the_validation_that_a_resumed_training_begins_with(tmp_path: Path) -> None:
    with pytest.raises(Preempted):
        train(tmp_path, "iterations", Signal("val", 8, signal.SIGUSR1))
    with pytest.raises(Preempted):
        train(tmp_path, "iterations", Signal("val", 8, signal.SIGUSR1), resume=True)
    assert newest_valid(tmp_path).iteration == 8


def test_checkpoints_amid_accumulation_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for kind, steps in (("iterations", 4), ("epochs", 10)):
        runner = train(tmp_path / kind, kind, optimizer={"accumulative_counts": 3})
        text = Path(runner.logger.handlers[-1].baseFilename).read_text()
        assert f"checkpoints come every {steps} steps, the weights change every 3" in text


def test_early_stopping_and_plateaus_go_on(tmp_path: Path) -> None:
    watching = {
        "custom": ({"type": "EarlyStoppingHook", "monitor": "own/third", "patience": 3},),
        "param_scheduler": [
            {"type": "ReduceOnPlateauLR", "monitor": "own/third", "patience": 0, "rule": "greater"}
        ],
    }
    watching["custom"][0]["rule"] = "greater"
    expected = train(tmp_path / "whole", "iterations", **watching)
    assert expected.iter < LAST
    folder = tmp_path / "cut"
    for step, point in ((8, "val"), (9, "train")):
        with pytest.raises(Preempted):
            hook = Signal(point, step, signal.SIGUSR1)
            train(folder, "iterations", hook, resume=point == "train", **watching)
    resumed = train(folder, "iterations", resume=True, **watching)
    assert resumed.iter == expected.iter
    assert_equal(expected, resumed)


def test_data_workers_leave_the_signals_to_the_training(whole: Any, tmp_path: Path) -> None:
    validation = {**loader(8), "dataset": Numbers(), "num_workers": 1, "persistent_workers": True}
    validation["collate_fn"] = collate
    runner = train(tmp_path, "iterations", KillWorkers(), workers=1, val_dataloader=validation)
    assert_equal(whole("iterations")[0], runner)
    # Not even the end of the training waits for them.
    for worker in multiprocessing.active_children():
        worker.terminate()
        worker.join(10)
        assert worker.exitcode == 0


def test_signals_mean_what_they_do_after_a_training(tmp_path: Path) -> None:
    train(tmp_path, "iterations")
    assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_the_step_log_takes_no_interval_of_nothing() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        StepLogHook(interval=0)


def test_a_validation_alone_is_not_broken_off(tmp_path: Path) -> None:
    runner = make_runner(tmp_path, (), train_dataloader=loader(6))
    runner.register_hook(PreemptionHook())
    signals.listen()
    os.kill(os.getpid(), signal.SIGUSR1)
    assert runner.val()["own/third"] == pytest.approx(8 / 3)
