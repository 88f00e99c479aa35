"""Mistakes in a config's arguments are named with their key."""

from pathlib import Path

import pytest
from mmengine.config import Config

import attnseg
from attnseg.apis.arguments import argument_errors
from attnseg.apis.experiment import UsageError, build_config
from attnseg.registry import MODELS
from tests.iaunet.factory import config


class Base:
    def __init__(self, width: int = 3) -> None:
        self.width = width


@MODELS.register_module(force=True)
class Narrow(Base):
    def __init__(self, depth: int = 2, **more: int) -> None:
        super().__init__(**more)
        if depth == 0:
            sorted([1], kye=2)
        if depth == 1:
            Base(with_=2)


def test_a_misspelt_argument_is_named() -> None:
    cfg = Config({"model": config(num_querys=5)})
    message = "^model.head.num_querys: IAUNetHead has no argument 'num_querys'. Did you mean num_q"
    with pytest.raises(UsageError, match=message), argument_errors(cfg):
        MODELS.build(cfg.model)


@pytest.mark.parametrize(
    ("name", "fix"), [("widht", "Did you mean width?"), ("xyz", "It takes depth, width.")]
)
def test_arguments_of_base_classes_count(name: str, fix: str) -> None:
    cfg = Config({"parts": [{"type": "attnseg.Narrow", name: 5}]})
    with pytest.raises(UsageError) as error, argument_errors(cfg):
        MODELS.build(cfg.parts[0])
    assert str(error.value) == f"parts.0.{name}: Narrow has no argument '{name}'. {fix}"


def test_wrong_calls_inside_a_class_keep_their_traceback() -> None:
    cfg = Config({"model": {"type": "attnseg.Narrow", "depth": 0}})
    with pytest.raises(TypeError), argument_errors(cfg):
        MODELS.build(cfg.model)
    cfg.model.depth = 1
    with pytest.raises(TypeError), argument_errors(cfg):
        MODELS.build(cfg.model)


def test_a_base_of_a_package_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = Path(attnseg.__file__).resolve().parent / ".mim/model-index.yml"

    def fail(*args: object, **kwargs: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", str(missing))

    (tmp_path / "own.py").write_text("_base_ = 'attnseg::iaunet/base_small.py'\n")
    monkeypatch.setattr("mmengine.config.Config.fromfile", fail)
    with pytest.raises(UsageError, match=r"attnseg::.*run pip install -e \."):
        build_config(tmp_path / "own.py")
