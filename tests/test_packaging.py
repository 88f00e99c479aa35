"""What an installed attnseg holds: the package and its configs, tools and index as ``.mim``."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
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
    "attnseg/__main__.py",
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
    # Where mim looks.
    beside = metadata.removesuffix("METADATA") + ".mim/"
    mim = {name.removeprefix("attnseg/.mim/") for name in names if "attnseg/.mim/" in name}
    assert {name.removeprefix(beside) for name in names if name.startswith(beside)} == mim
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


LEAF = "maskattn-unet_small_1xb8-400i_demo-panoptic-128x128"
# What mim does, for where it is not installed: mim/utils/utils.py and mim/commands/train.py.
AS_MIM = f"""
import importlib.metadata, os, subprocess, sys
first = importlib.metadata.distribution("attnseg").files[0]
root = os.path.join(first.locate().parents[len(first.parts) - 1], first.parts[0])
config, = [os.path.join(f, "{LEAF}.py") for f, _, n in os.walk(root) if "{LEAF}.py" in n]
script = os.path.join(root, ".mim", "tools", "train.py")
assert "--gpus" not in subprocess.check_output([sys.executable, script, "-h"]).decode()
command = [sys.executable, script, config, "--launcher", "none", *sys.argv[1:]]
subprocess.check_call(command, env=dict(os.environ, MASTER_PORT="23456"))
"""
IN_WHEEL = f"""
import sys
from pathlib import Path
import attnseg
from attnseg.apis import list_models
from attnseg.apis.experiment import build_config, find_config

assert Path(attnseg.__file__).is_relative_to(sys.prefix), attnseg.__file__
assert not {{*sys.argv[1:]}} & {{*sys.path}}
assert all(find_config(name).is_relative_to(sys.prefix) for name in list_models())
Path("leaf.py").write_text("_base_ = 'attnseg::maskattn_unet/{LEAF}.py'")
assert build_config("leaf.py").model.type == "attnseg.PixelSegmentor"
"""


def _installed_wheel(folder: Path) -> Path:
    """The Python of an environment with the wheel; other packages are those of this one."""
    wheel = _build(_checkout(folder / "source"), "build_wheel", folder / "out")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv/bin/python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps"]
    subprocess.run([*install, "--no-index", str(wheel)], check=True, timeout=120)
    shutil.rmtree(folder / "source")
    packages = next((folder / "venv").glob("lib/python*/site-packages"))
    # Its .pth files, such as that of an editable attnseg, are not read from there.
    others = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "others.pth").write_text("\n".join(others))
    return python


@pytest.mark.slow
def test_an_installed_wheel_trains_tests_and_segments(tmp_path: Path, demo_set: Path) -> None:
    python = _installed_wheel(tmp_path)
    here = tmp_path / "elsewhere"
    here.mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MASTER_PORT")}

    def run(*words: str) -> str:
        result = subprocess.run(
            [str(python), *words],
            cwd=here,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
        return result.stdout

    run("-c", IN_WHEEL, str(REPO), str(REPO / "projects"))
    listed = run("-m", "attnseg")
    assert {"train", "test", "segment", "slurm/submit"} <= set(re.split(r"[,\s]+", listed))
    words = ["--data", str(demo_set), "--max-iters", "1", "--work-dir", "run"]
    if importlib.util.find_spec("mim"):
        run("-m", "mim", "train", "attnseg", f"{LEAF}.py", "--gpus", "0", *words)
        found = run("-m", "mim", "search", "attnseg", "--config", LEAF)
        assert "panoptic segmentation" in found
    else:
        run("-c", AS_MIM, *words)
    checkpoint = "run/iter_1.pth"
    run("-m", "attnseg", "test", LEAF, checkpoint, "--data", str(demo_set), "--work-dir", "test")
    assert list((here / "test").rglob("record.json"))
    images = str(demo_set / "images/val")
    assert "4 images segmented" in run(
        "-m", "attnseg", "segment", images, LEAF, checkpoint, "--out", "found"
    )
    assert len(list((here / "found/panoptic").glob("*.png"))) == 4


def test_commands_by_name(tmp_path: Path) -> None:
    for words, status, message in (
        (["make-demo-set", "--help"], 0, "Generate the demo set"),
        (["trian"], 2, "no command 'trian'. Did you mean train?"),
        (["--help"], 0, "usage: python -m attnseg COMMAND"),
    ):
        result = subprocess.run(
            [sys.executable, "-m", "attnseg", *words], cwd=tmp_path, capture_output=True, text=True
        )
        assert result.returncode == status, result.stderr
        assert message in result.stdout + result.stderr


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
