"""Models that need compiled operators are told from those that do not."""

import sys

import pytest
import torch
from mmcv.ops import RoIAlign

from attnseg import compat
from attnseg.apis.command import run_command
from attnseg.apis.operators import require_operators


@pytest.fixture(autouse=True)
def without_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mmcv._ext", compat._MissingOperators("mmcv._ext"))


@pytest.mark.parametrize(
    ("config", "operator"),
    [
        ({"test_cfg": {"rcnn": {"nms": {"type": "nms", "iou_threshold": 0.5}}}}, "nms"),
        ({"heads": [{}, {"nms": {"type": "soft_nms"}}]}, "softnms"),
        ({"nms": {"iou_threshold": 0.5}}, "nms"),
    ],
)
def test_suppression_in_the_config_is_found(config: dict, operator: str) -> None:
    with pytest.raises(compat.MissingOperatorError, match=f"'{operator}'.*make ops"):
        require_operators(config, torch.nn.Identity())


def test_a_layer_of_mmcv_is_found_and_others_pass() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1))
    require_operators({"test_cfg": {"nms_iou": 0.8, "nms": None}}, model)
    model.append(RoIAlign(7))
    with pytest.raises(compat.MissingOperatorError, match="'roi_align_forward'"):
        require_operators(None, model)


def test_compiled_operators_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mmcv._ext", object())
    require_operators({"nms": {"type": "nms"}}, RoIAlign(7))


def test_an_operator_that_is_missed_later_ends_a_command_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: sys.modules["mmcv._ext"].border_align_forward())
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
