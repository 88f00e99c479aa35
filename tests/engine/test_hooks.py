"""InvalidLossHook and ResultHook, in real runners where that matters."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import METRICS
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn

from attnseg import __version__
from attnseg.engine.hooks.invalid_loss import InvalidLossHook, describe_images
from attnseg.engine.hooks.result import ResultHook
from attnseg.registry import HOOKS


class Toy(BaseModel):
    """Its boundary loss is what the images say."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, inputs: list, data_samples: list, mode: str = "tensor") -> object:
        value = torch.stack(inputs).mean() * self.weight
        if mode == "loss":
            return {"loss_ce": self.weight**2, "loss_edge": value, "acc": torch.tensor(torch.nan)}
        return data_samples


@METRICS.register_module()
class OneThird(BaseMetric):
    """A metric with many digits."""

    def process(self, data_batch: object, data_samples: object) -> None:
        self.results.append(1)

    def compute_metrics(self, results: list) -> dict[str, float]:
        return {"third": len(results) / 3, "undefined": float("nan")}


def _loader(values: list[float]) -> dict:
    def collate(batch: list[int]) -> dict:
        samples = [BaseDataElement(metainfo={"img_path": f"/img/{i}.png"}) for i in batch]
        return {"inputs": [torch.tensor(float(values[i])) for i in batch], "data_samples": samples}

    return {
        "dataset": list(range(len(values))),
        "batch_size": 2,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "collate_fn": collate,
    }


def _runner(work_dir: Path, values: list[float], **kwargs: object) -> Runner:
    return Runner(
        model=Toy(),
        work_dir=str(work_dir),
        train_dataloader=_loader(values),
        train_cfg={"by_epoch": True, "max_epochs": 1},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.0}},
        randomness={"seed": 7},
        default_scope="mmengine",
        experiment_name=f"hooks_{work_dir.name}",
        **kwargs,
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_invalid_loss_names_loss_iteration_and_images(tmp_path: Path, bad: float) -> None:
    hooks = [{"type": "attnseg.InvalidLossHook"}]
    runner = _runner(tmp_path, [1, 1, 1, bad], custom_hooks=hooks)
    with pytest.raises(RuntimeError) as error:
        runner.train()
    text = str(error.value)
    assert f"loss_edge = {bad}" in text and "iteration 2 " in text
    assert "/img/2.png, /img/3.png" in text
    assert "loss_ce" not in text and "acc" not in text
    # The spoiled weights were not saved.
    assert not list(tmp_path.glob("*.pth"))


def test_finite_losses_pass(tmp_path: Path) -> None:
    runner = _runner(tmp_path, [1, 2], custom_hooks=[{"type": "attnseg.InvalidLossHook"}])
    runner.train()
    assert runner.iter == 1


def test_interval_is_kept() -> None:
    hook, runner = InvalidLossHook(interval=2), SimpleNamespace(iter=0, epoch=0)
    outputs = {"loss": float("nan")}
    hook.after_train_iter(runner, 0, None, outputs)
    runner.iter = 1
    with pytest.raises(RuntimeError, match="loss = nan.*Images of the batch: unknown"):
        hook.after_train_iter(runner, 1, None, outputs)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        InvalidLossHook(interval=0)


def test_images_are_described_by_path_else_id_and_shortened() -> None:
    samples = [BaseDataElement(metainfo={"img_id": i}) for i in range(20)]
    assert describe_images({"data_samples": samples}).endswith("14, 15 and 4 more")
    assert describe_images({"data_samples": samples[:1]}) == "0"
    assert describe_images([1, 2]) == "unknown"


def test_result_is_written_unrounded_after_validation_and_test(tmp_path: Path) -> None:
    evaluator = {"type": "OneThird", "prefix": "toy"}
    runner = _runner(
        tmp_path,
        [1, 2],
        cfg={"val_evaluator": evaluator, "load_from": "start.pth"},
        val_dataloader=_loader([1, 1, 1, 1]),
        val_cfg={},
        val_evaluator=evaluator,
        test_dataloader=_loader([1, 1]),
        test_cfg={},
        test_evaluator=[evaluator],
        custom_hooks=[{"type": "attnseg.ResultHook"}],
    )
    runner.train()
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["metrics"] == {"toy/third": 2 / 3, "toy/undefined": None}
    assert record["mode"] == "val" and record["evaluator"] == evaluator
    assert (record["seed"], record["epoch"], record["iter"]) == (7, 1, 1)
    assert record["attnseg_version"] == __version__
    assert record["checkpoint"] is None and record["tta"] is False
    runner.test()
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["metrics"]["toy/third"] == 1 / 3
    assert record["checkpoint"] == "start.pth"
    # The runner was not given a config for this one.
    assert record["mode"] == "test" and record["evaluator"] == [{"type": "OneThird"}]


def test_hooks_are_registered() -> None:
    assert HOOKS.get("InvalidLossHook") is InvalidLossHook
    assert HOOKS.get("ResultHook") is ResultHook
