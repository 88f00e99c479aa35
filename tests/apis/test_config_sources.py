"""The merge that keeps track gives what mmengine gives, and says who set what."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from mmengine.config import Config, config

from attnseg.apis.config_sources import leaves, read_sources
from attnseg.apis.config_typos import find_typos
from attnseg.errors import InputError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FOLDERS = sorted({p.parent for p in CONFIGS.rglob("*.py")})
IAUNET = CONFIGS / "iaunet/iaunet_small_1xb4-1200i_dsb2018-instance-128x128.py"


@pytest.fixture(autouse=True, scope="module")
def lookups() -> Iterator[None]:
    """Read the index of mmdet's and mmseg's configs once, not for each config: it is slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "_get_external_cfg_path", lru_cache(config._get_external_cfg_path))
        yield


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.relative_to(CONFIGS).as_posix())
def test_every_config_is_what_mmengine_reads_and_is_not_warned_about(folder: Path) -> None:
    for path in sorted(folder.glob("*.py")):
        found = read_sources(path)
        assert found.config == Config.fromfile(path)._cfg_dict.to_dict(), path
        assert find_typos(found) == []
        for keys, value in leaves(found.config):
            steps = found.of(keys)
            assert steps and steps[-1].line, (path, keys)
            if keys in found.chain and keys[-1] != "_scope_":
                assert dict(leaves(steps[-1].value, keys)) == dict(leaves(value, keys))


def test_libraries_configs_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("_base_ = 'mmdet::solov2/solov2_r50_fpn_1x_coco.py'\nmodel = dict(neck=None)\n")
    found = read_sources(path)
    assert found.config == Config.fromfile(path)._cfg_dict.to_dict()
    assert found.of(("model", "backbone", "depth"))[-1].file == (
        "mmdet::solov2/solov2_r50_fpn_1x_coco.py"
    )
    assert found.of(("model", "neck"))[-1].line == 2
    assert found.chain["model", "neck", "num_outs"][-1].removed == "replaced"


def test_options_are_merged_as_mmengine_merges_them() -> None:
    options = {
        "train_dataloader.dataset.pipeline.3.size": (64, 32),
        "model.head": {"_delete_": True, "type": "X"},
        "model.test_cfg.nms_iou": 0.5,
    }
    cfg = Config.fromfile(IAUNET)
    cfg.merge_from_dict({**options, "model.head": dict(options["model.head"])})
    found = read_sources(IAUNET, options)
    assert found.config == cfg._cfg_dict.to_dict()
    (old, new) = found.of(("model", "test_cfg", "nms_iou"))
    assert (old.where, new.where) == ("iaunet/base.py:17", "--cfg-options")
    size = found.of(("train_dataloader", "dataset", "pipeline", "3", "size"))
    assert (size[-1].file, size[-1].value) == ("--cfg-options", (64, 32))
    assert ("model", "head", "num_queries") in found.removed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_pipeline.9.prob": 1}, "train_pipeline.9: the list has 5 items"),
        ({"train_pipeline.0": 1}, "name a key of the item"),
        ({"log_level.x": 1}, "log_level is a dict here, but str in the base"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_sources(IAUNET, options)


@pytest.mark.parametrize(
    ("text", "key", "line", "expression", "references"),
    [
        ("a = 1\nb = dict(c=a)", "b.c", 2, "a", ()),
        ("b = {'c': [dict(d=1),\n dict(d=2)]}", "b.c.1.d", 2, "", ()),
        ("x = [dict(d=1),\n dict(d=2)]\nb = dict(c=x)", "b.c.1.d", 2, "", ()),
        ("b = dict()\nb['c'] = 1", "b.c", 2, "", ()),
        ("p, q = 1, 2", "q", 1, "(1, 2)", ()),
        ("a = 1\na += 1", "a", 2, "", ()),
        ("_base_ = 'base.py'\nb = dict(c=_base_.k.z)", "b.c", 2, "_base_.k.z", ("k.z",)),
        ("_base_ = 'base.py'\nb = dict(c={{_base_.k.z}})", "b.c", 2, None, ("k.z",)),
    ],
)
def test_lines(
    text: str, key: str, line: int, expression: str | None, references: tuple[str], tmp_path: Path
) -> None:
    (tmp_path / "base.py").write_text("\n\nk = dict(z=4)\n")
    (tmp_path / "a.py").write_text(text + "\n")
    found = read_sources(tmp_path / "a.py")
    step = found.of(tuple(key.split(".")))[-1]
    assert step.line == line
    assert [name.partition(" ")[0] for name in step.references] == [
        f"_base_.{name}" for name in references
    ]
    assert all(name.endswith("base.py:3)") for name in step.references)
    if expression and not expression.startswith("("):
        assert step.expression == expression


def test_yaml_has_files_without_lines(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("model:\n  depth: 18\n")
    (tmp_path / "b.py").write_text("_base_ = 'a.yaml'\nx = 1\n")
    (step,) = read_sources(tmp_path / "b.py").of(("model", "depth"))
    assert (step.where, step.value) == (str(tmp_path / "a.yaml"), 18)


def test_what_cannot_be_followed_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("lr = 1\n")
    (tmp_path / "b.py").write_text("lr = 2\n")
    (tmp_path / "c.py").write_text("_base_ = ['a.py', 'b.py']\n")
    with pytest.raises(InputError, match="two of its bases set lr"):
        read_sources(tmp_path / "c.py")
    (tmp_path / "d.py").write_text("with read_base():\n    from .a import *\n")
    with pytest.raises(InputError, match="no _base_ chain"):
        read_sources(tmp_path / "d.py")
