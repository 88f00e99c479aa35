"""DependencyHook: exponents among the metrics of a run, and names checked before it."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from torch import nn

from attnseg.apis.dependency import analyze_dependency
from attnseg.errors import InputError
from tests.engine.recorded import HOOK, make_runner


@MODELS.register_module(force=True)
class DependencyNet(BaseModel):
    """One convolution, whose maps are analysed."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, inputs: list, data_samples: list, mode: str = "tensor") -> object:
        maps = self.attn(torch.stack(list(inputs)))
        if mode == "loss":
            return {"loss": maps.square().mean()}
        return data_samples if mode == "predict" else maps


def collate(batch: list[int]) -> dict[str, list]:
    images = [torch.randn(3, 12, 16, generator=torch.Generator().manual_seed(i)) for i in batch]
    return {
        "inputs": images,
        "data_samples": [BaseDataElement(metainfo={"img_id": i}) for i in batch],
    }


def noise(total: int) -> dict:
    return {
        "dataset": list(range(total)),
        "batch_size": 2,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "collate_fn": collate,
    }


def run_with(folder: Path, modules: dict[str, str]):
    hook = {"type": "attnseg.DependencyHook", "modules": modules, "max_images": 3, "channels": 2}
    loaders = {f"{part}_dataloader": noise(6) for part in ("train", "val", "test")}
    return make_runner(
        folder,
        hooks=(HOOK,),
        model={"type": "DependencyNet"},
        default_hooks={"dependency": hook},
        **loaders,
    )


def test_a_training_records_the_exponents_of_its_last_weights(tmp_path: Path) -> None:
    runner = run_with(tmp_path, {"att1": "attn"})
    runner.train()
    batches = [collate([0, 1]), collate([2, 3])]
    expected = analyze_dependency(
        runner.model,
        ["attn"],
        batches,
        forward=lambda model, batch: model(**batch),
        max_images=3,
        channels=2,
    )[0].row()
    (record,) = tmp_path.glob("*_*/record.json")
    found = json.loads(record.read_text())["metrics"]
    for exponent in ("hurst", "dfa", "beta"):
        value = found[f"dependency/{exponent}_att1"]["value"]
        assert value == pytest.approx(expected[f"{exponent}_mean"])
    result = json.loads((tmp_path / "result.json").read_text())["metrics"]
    assert result["dependency/hurst_att1"] == found["dependency/hurst_att1"]["value"]


def test_a_test_has_them_too(tmp_path: Path) -> None:
    metrics = run_with(tmp_path, {"one": "attn", "two": "attn"}).test()
    assert 0 < metrics["dependency/hurst_one"] < 1
    assert metrics["dependency/hurst_two"] == metrics["dependency/hurst_one"]


def test_an_unknown_module_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    runner = run_with(tmp_path, {"att1": "atn"})
    with pytest.raises(InputError, match=r"DependencyHook: .*'atn' \(close: attn\)"):
        runner.train()
    assert not list(tmp_path.glob("*.pth"))
