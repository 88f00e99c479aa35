"""What an installed attnseg holds: the package and its configs, tools and index as ``.mim``."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

REPO = Path(__file__).resolve().parents[1]
SOURCES = (
    "setup.py",
    "pyproject.toml",
    "MANIFEST.in",
    "LICENSE",
    "model-index.yml",
    "requirements",
    "configs",
    "tools",
    "projects",
)
SHIPPED = (
    *(f"attnseg/leaderboard/assets/{name}" for name in ("page.html", "page.css", "main.js")),
    *(f"attnseg/apis/refine_page/assets/page.{suffix}" for suffix in ("html", "css", "js")),
    "attnseg/.mim/model-index.yml",
    "attnseg/.mim/tools/train.py",
    *(f"attnseg/.mim/tools/slurm/{name}" for name in ("submit.py", "dist_train.sh", "torchrun.sh")),
    "attnseg/.mim/configs/_base_/runtime/default.py",
    "attnseg/.mim/configs/_base_/schedules/adamw_5e-4_1000e.py",
)


def _checkout(folder: Path) -> Path:
    """A copy of what git would give, without what builds left behind."""
    folder.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", ".mim")
    for name in SOURCES:
        source = REPO / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copy2(source, folder / name)
    return folder


def _build(source: Path, hook: str, out: Path) -> Path:
    """Call setuptools' PEP 517 hook as pip does without isolation; no network."""
    out.mkdir(exist_ok=True)
    code = f"from setuptools.build_meta import {hook}; print('built', {hook}({str(out)!r}))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, timeout=180
    )
    assert result.returncode == 0, result.stderr
    return out / result.stdout.split()[-1]


def _config_files(source: Path) -> set[str]:
    return {
        f"attnseg/.mim/{path.relative_to(source)}"
        for path in (source / "configs").rglob("*.py")
        if "__pycache__" not in path.parts
    }


def test_wheel_holds_package_configs_and_tools(tmp_path: Path) -> None:
    source = _checkout(tmp_path / "source")
    with zipfile.ZipFile(_build(source, "build_wheel", tmp_path / "out")) as wheel:
        names = set(wheel.namelist())
        metadata = next(name for name in names if name.endswith("/METADATA"))
        text = wheel.read(metadata).decode()
    assert {"attnseg/__init__.py", "attnseg/compat.py", *SHIPPED, *_config_files(source)} <= names
    assert not [name for name in names if name.split("/")[0] in ("configs", "tools", "projects")]
    assert not [name for name in names if name.endswith(".pyc")]
    fields = Parser().parsestr(text)
    assert SpecifierSet(fields["Requires-Python"]) == SpecifierSet(">=3.10,<3.13")
    needed = {Requirement(line).name: Requirement(line) for line in fields.get_all("Requires-Dist")}
    assert needed["torch"].specifier == SpecifierSet(">=2.4")
    assert "0.10.10" not in needed["onedl-mmengine"].specifier
    assert "0.10.11" in needed["onedl-mmengine"].specifier
    assert {"onedl-mmcv", "onedl-mmdetection", "onedl-mmsegmentation", "pycocotools"} <= set(needed)
    assert {"faster-coco-eval", "tifffile"} <= set(needed)


def test_wheel_from_the_sdist_is_complete(tmp_path: Path) -> None:
    source = _checkout(tmp_path / "source")
    archive = _build(source, "build_sdist", tmp_path / "out")
    with tarfile.open(archive) as sdist:
        members = {member.name.partition("/")[2]: member for member in sdist.getmembers()}
        sdist.extractall(tmp_path / "unpacked", filter="data")
    assert {f"projects/{name}" for name in SHIPPED} <= set(members)
    assert all(members[f"projects/{name}"].isfile() for name in SHIPPED)
    unpacked = next((tmp_path / "unpacked").iterdir())
    with zipfile.ZipFile(_build(unpacked, "build_wheel", tmp_path / "out")) as wheel:
        names = set(wheel.namelist())
    assert {*SHIPPED, *_config_files(source)} <= names


@pytest.mark.parametrize("earlier", ["nothing", "wheel", "link"])
def test_editable_install_links_to_the_checkout(tmp_path: Path, earlier: str) -> None:
    source = _checkout(tmp_path / "source")
    if earlier == "wheel":
        _build(source, "build_wheel", tmp_path / "out")
    elif earlier == "link":
        (tmp_path / "elsewhere").mkdir()
        (source / "projects/attnseg/.mim").symlink_to(tmp_path / "elsewhere")
    _build(source, "build_editable", tmp_path / "out")
    mim = source / "projects/attnseg/.mim"
    for name in ("configs", "tools", "model-index.yml"):
        assert (mim / name).is_symlink()
        assert (mim / name).resolve() == (source / name).resolve()


def test_editable_install_resolves_its_own_prefix(tmp_path: Path) -> None:
    source = _checkout(tmp_path / "source")
    _build(source, "build_editable", tmp_path / "out")
    leaf = tmp_path / "leaf.py"
    leaf.write_text("_base_ = 'attnseg::_base_/runtime/semantic.py'\n")
    code = (
        "from attnseg.compat import setup_env; setup_env()\n"
        "from mmengine.config import Config\n"
        f"cfg = Config.fromfile({str(leaf)!r})\n"
        "print(cfg.default_scope, *[hook.type for hook in cfg.custom_hooks])"
    )
    environment = {**os.environ, "PYTHONPATH": str(source / "projects")}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    scope, *hooks = result.stdout.split()
    assert scope == "mmseg"
    assert {"attnseg.InvalidLossHook", "attnseg.ResultHook", "mmdet.NumClassCheckHook"} <= set(
        hooks
    )


def test_model_index_names_every_metafile() -> None:
    index = yaml.safe_load((REPO / "model-index.yml").read_text())
    found = {str(path.relative_to(REPO)) for path in REPO.glob("configs/*/metafile.yml")}
    assert set(index["Import"]) == found


def test_ruff_has_one_version() -> None:
    lines = (REPO / "requirements/tests.txt").read_text().splitlines()
    pinned = next(line.partition("==")[2] for line in lines if line.startswith("ruff=="))
    hooks = yaml.safe_load((REPO / ".pre-commit-config.yaml").read_text())["repos"]
    assert next(item["rev"] for item in hooks if "ruff" in item["repo"]) == f"v{pinned}"
