"""`make` keeps its environment, and makes it anew for another Python or torch."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
TORCH, PYTHON = "torch==2.11.0", "python3.11"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose environment is complete, as far as make can see."""
    for name in ("Makefile", "setup.py", "pyproject.toml"):
        shutil.copy(REPO / name, tmp_path)
    shutil.copytree(REPO / "requirements", tmp_path / "requirements")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/python.mk").write_text(f"MADE_PYTHON := {PYTHON}\n")
    (tmp_path / ".venv/torch.mk").write_text(f"MADE_TORCH := {TORCH}\n")
    for name in ("bin/python", ".installed", ".installed-tests"):
        (tmp_path / ".venv" / name).touch()
    return tmp_path


def _planned(checkout: Path, *arguments: str) -> str:
    # A make that runs these tests hands its own choices down.
    handed = ("PYTHON", "TORCH", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL")
    clean = {key: value for key, value in os.environ.items() if key not in handed}
    result = subprocess.run(
        ["make", "-n", "--no-print-directory", "test", *arguments],
        cwd=checkout,
        env=clean,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


@pytest.mark.parametrize("arguments", [(), (f"TORCH={TORCH}", f"PYTHON={PYTHON}")])
def test_nothing_is_installed_again(checkout: Path, arguments: tuple[str, ...]) -> None:
    plan = _planned(checkout, *arguments)
    assert "pytest" in plan and "install" not in plan and "venv --clear" not in plan


def test_another_torch_is_installed(checkout: Path) -> None:
    plan = _planned(checkout, "TORCH=torch==2.10.0")
    assert "install -q 'torch==2.10.0'" in plan and "venv --clear" not in plan
    assert "MADE_TORCH := torch==2.10.0" in plan and TORCH not in plan
    assert "-r requirements/tests.txt" in plan


def test_another_python_makes_another_environment_with_the_same_torch(checkout: Path) -> None:
    plan = _planned(checkout, "PYTHON=python3.12")
    assert "python3.12 -m venv --clear .venv" in plan
    assert f"install -q '{TORCH}'" in plan and "-r requirements/tests.txt" in plan


def test_an_environment_without_a_record_is_made_anew(checkout: Path) -> None:
    (checkout / ".venv/python.mk").unlink()
    plan = _planned(checkout)
    assert "python3 -m venv --clear .venv" in plan and f"'{TORCH}'" in plan
