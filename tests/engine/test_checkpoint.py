"""Weights fit the model completely, or the error says what does not."""

from pathlib import Path

import pytest
import torch
from torch import nn

from attnseg.engine.checkpoint import check_weights, load_weights


def _model(width: int = 2) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width))


def _saved(tmp_path: Path, content: object) -> Path:
    torch.save(content, tmp_path / "w.pth")
    return tmp_path / "w.pth"


@pytest.mark.parametrize("wrap", ["plain", "state_dict", "module"])
def test_matching_weights_are_loaded(tmp_path: Path, wrap: str) -> None:
    source, target = _model(), _model()
    weights = source.state_dict()
    if wrap == "module":
        weights = {f"module.{key}": value for key, value in weights.items()}
    content = weights if wrap == "plain" else {"state_dict": weights, "meta": {"epoch": 3}}
    rest = load_weights(target, _saved(tmp_path, content))
    assert all(
        torch.equal(target.state_dict()[key], source.state_dict()[key])
        for key in source.state_dict()
    )
    assert rest == ({} if wrap == "plain" else {"meta": {"epoch": 3}})


def test_counter_of_batch_norm_may_be_missing(tmp_path: Path) -> None:
    weights = {k: v for k, v in _model().state_dict().items() if "num_batches" not in k}
    load_weights(_model(), _saved(tmp_path, weights))


def test_missing_and_unexpected_keys_are_counted_and_named(tmp_path: Path) -> None:
    weights = {f"head.{i}": torch.ones(1) for i in range(7)}
    weights["0.weight"] = torch.ones(2, 3, 1, 1)
    content = {"state_dict": weights, "meta": {"experiment_name": "unet_demo_20250102_030405"}}
    model = _model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(RuntimeError) as error:
        load_weights(model, _saved(tmp_path, content))
    text = str(error.value)
    assert "5 missing (0.bias, 1.weight, 1.bias, 1.running_mean, 1.running_var)" in text
    assert "7 unexpected (head.0, head.1, head.2, head.3, head.4, ...)" in text
    assert "config 'unet_demo.py'" in text and "w.pth" in text
    assert all(torch.equal(model.state_dict()[key], before[key]) for key in before)


def test_shapes_that_differ_are_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"0\.weight is \(4, 3, 1, 1\), the model has \(2, 3, 1"):
        load_weights(_model(2), _saved(tmp_path, _model(4).state_dict()))


def test_start_weights_are_counted_and_not_loaded(tmp_path: Path) -> None:
    weights = _model(4).state_dict() | {"1.bias": torch.ones(2), "head": torch.ones(1)}
    del weights["1.num_batches_tracked"], weights["1.weight"]
    model = _model(2)
    found = check_weights(model, _saved(tmp_path, weights), strict=False)
    assert found.startswith("1 of 7 weights match; 1 missing (1.weight); 1 unexpected (head); 4 of")
    assert not torch.equal(model.state_dict()["1.bias"], torch.ones(2))
    with pytest.raises(RuntimeError, match="do not fit Sequential: 1 missing"):
        check_weights(model, tmp_path / "w.pth", strict=True)


def test_start_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    file = _saved(tmp_path, {"0.weight": torch.ones(9), "head": torch.ones(1)})
    with pytest.raises(RuntimeError, match=r"w\.pth: not one weight fits Sequential"):
        check_weights(_model(), file, strict=False)


@pytest.mark.parametrize("content", [{}, {"state_dict": {}}, {"a": 1}, [1]])
def test_file_without_weights(tmp_path: Path, content: object) -> None:
    with pytest.raises(RuntimeError, match=r"w\.pth: holds no weights"):
        load_weights(_model(), _saved(tmp_path, content))
