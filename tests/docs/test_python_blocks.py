"""Python of the pages: configs build, fragments name real classes, programs import real names."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope

from attnseg import registry
from attnseg.compat import setup_env
from tests.docs.pages import PYTHON, REPO
from tests.docs.world import build_model

REGISTRIES = [
    value for name, value in vars(registry).items() if name.isupper() and hasattr(value, "get")
]
# Held to what they print by tests/apis/test_configs_page.py, or run by test_inference_docs.py; a
# sweep is no config of a run.
OTHERS = {"docs/configs.md": "", "docs/inference.md": "", "docs/sweeps.md": "title = "}
# A leaf that a page shows as if it lay in that folder of ours.
FOLDERS = {"docs/cells.md": "iaunet", "docs/scale.md": "maskattn_unet"}


def is_program(text: str) -> bool:
    return bool(re.search(r"^(from|import) ", text, re.MULTILINE))


def chosen(want_program: bool) -> list[Any]:
    return [
        pytest.param(page, text, id=f"{page}-{number}")
        for number, (page, text) in enumerate(PYTHON)
        if is_program(text) == want_program
        and not (page in OTHERS and text.startswith(OTHERS[page]))
    ]


@pytest.mark.parametrize(("page", "text"), chosen(want_program=False))
def test_config(page: str, text: str, tmp_path: Path) -> None:
    setup_env()
    init_default_scope("mmdet")
    if "_base_" not in text:
        values: dict[str, Any] = {}
        exec(compile(text, page, "exec"), values)
        kinds = set(types_in({k: v for k, v in values.items() if k != "__builtins__"}))
        assert kinds or "accumulate" in text
        for kind in kinds:
            assert known(kind), f"no class '{kind}'"
        return
    folder = tmp_path / "configs" / FOLDERS.get(page, "mine")
    for source in (REPO / "configs").iterdir():
        (tmp_path / "configs" / source.name).parent.mkdir(exist_ok=True)
        if source.name != folder.name:
            (tmp_path / "configs" / source.name).symlink_to(source)
    folder.mkdir()
    for source in (REPO / "configs" / folder.name).glob("*.py"):
        (folder / source.name).symlink_to(source)
    (folder / "page.py").write_text(text)
    cfg = Config.fromfile(folder / "page.py")
    assert cfg.get("train_dataloader")
    build_model(cfg)


def types_in(value: Any) -> list[str]:
    """Each ``type`` in nested containers."""
    if isinstance(value, dict):
        own = [value["type"]] if isinstance(value.get("type"), str) else []
        return own + [kind for part in value.values() for kind in types_in(part)]
    if isinstance(value, (list, tuple)):
        return [kind for part in value for kind in types_in(part)]
    return []


def known(kind: str) -> bool:
    """Whether one of our registries, or of those of mmdet and mmseg above them, has the class."""
    for scope in ("mmdet", "mmseg"):
        with DefaultScope.overwrite_default_scope(scope):
            if any(one.get(kind) or one.get(f"{scope}.{kind}") for one in REGISTRIES):
                return True
    return False


@pytest.mark.parametrize(("page", "text"), chosen(want_program=True))
def test_program_imports_what_there_is(page: str, text: str) -> None:
    imports = [
        node for node in ast.parse(text).body if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    exec(compile(ast.Module(imports, []), page, "exec"), {})
