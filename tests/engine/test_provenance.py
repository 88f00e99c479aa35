"""Revision, versions, machine and command of a record."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from attnseg.engine import provenance
from attnseg.engine.provenance import command, git_state, hardware, versions


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    result = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config in a repository of its own, at a clean revision."""
    root = tmp_path / "repository"
    (root / "configs").mkdir(parents=True)
    file = root / "configs/a.py"
    file.write_text("lr = 1")
    (root / ".gitignore").write_text("venv/\nwork_dirs/\n")
    _git(root.parent, "init", "-q", str(root))
    _git(root, "add", "-A")
    _git(root, "commit", "-qm", "first")
    return file


def test_clean_and_changed(config: Path) -> None:
    revision = _git(config.parent, "rev-parse", "HEAD")
    assert git_state(config) == {"revision": revision, "dirty": False}
    (config.parent.parent / "work_dirs").mkdir()
    (config.parent.parent / "work_dirs/log").touch()
    (config.parent.parent / "notes").touch()
    assert git_state(config) == {"revision": revision, "dirty": False}
    config.write_text("lr = 2")
    assert git_state(config) == {"revision": revision, "dirty": True}
    config.write_text("lr = 1")
    assert git_state(config) == {"revision": revision, "dirty": False}


def test_a_config_that_is_not_in_the_revision_makes_it_dirty(config: Path) -> None:
    other = config.with_name("b.py")
    other.touch()
    assert git_state(other)["dirty"] is True


def test_an_ignored_file_is_not_held_and_the_next_one_counts(config: Path) -> None:
    ignored = config.parent.parent / "venv/mmdet/c.py"
    ignored.parent.mkdir(parents=True)
    ignored.touch()
    assert git_state(ignored) is None
    assert git_state(None, "gone.py", ignored, config) == git_state(config) is not None


def test_no_repository_no_git_and_no_answer(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside.py"
    outside.touch()
    assert git_state(outside) is None
    monkeypatch.setattr(provenance, "_TIMEOUT", 1e-9)
    assert git_state(config) is None
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(config) is None


def test_a_damaged_repository_is_none(config: Path) -> None:
    (config.parent.parent / ".git/HEAD").write_text("nonsense")
    assert git_state(config) is None


def test_versions_and_machine() -> None:
    import mmcv
    import mmdet
    import mmengine
    import mmseg
    import numpy
    import torch

    found = versions()
    for package in (mmcv, mmdet, mmengine, mmseg, numpy, torch):
        assert found[package.__name__] == package.__version__
    assert found["python"] == sys.version.split()[0]
    machine = hardware()
    assert machine["threads"] == torch.get_num_threads()
    assert machine["cpu"] and machine["cores"] >= 1 and machine["memory_gib"] > 0.1
    assert (machine["gpu"] is None) == (machine["gpus"] == 0)


def test_the_command_can_be_run_again() -> None:
    assert shlex.split(command()) == sys.orig_argv
