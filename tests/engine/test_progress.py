from types import SimpleNamespace

import pytest
import torch

from attnseg.engine import ProgressHook


def runner(rank: int = 0, start: int = 0) -> SimpleNamespace:
    return SimpleNamespace(rank=rank, max_iters=5, iter=start, test_dataloader=range(3))


def test_a_training_counts_to_the_end_and_shows_the_losses(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hook = ProgressHook(interval=0)
    hook.before_train(runner(start=3))
    loss = torch.tensor(0.25, requires_grad=True)
    for i in range(2):
        hook.after_train_iter(runner(), i, outputs={"loss_cls": loss, "acc": loss})
    hook.after_train(runner())
    printed = capsys.readouterr().err
    assert "5/5" in printed
    assert "loss_cls=0.250" in printed and "acc" not in printed


def test_a_test_counts_its_batches(capsys: pytest.CaptureFixture[str]) -> None:
    hook = ProgressHook(interval=0)
    hook.before_test_epoch(runner())
    for i in range(3):
        hook.after_test_iter(runner(), i)
    hook.after_test_epoch(runner())
    assert "3/3" in capsys.readouterr().err


def test_other_processes_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    hook = ProgressHook(interval=0)
    hook.before_train(runner(rank=1))
    hook.after_train_iter(runner(rank=1), 0, outputs={"loss": torch.tensor(1.0)})
    hook.after_train(runner(rank=1))
    assert capsys.readouterr().err == ""
