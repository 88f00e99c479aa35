"""Fixtures of the whole test tree; closes the gaps of the stack before anything is imported."""

import os
from pathlib import Path

import pytest
import torch

from attnseg.compat import setup_env

setup_env()
torch.set_num_threads(1)

REPO = Path(__file__).resolve().parents[1]


def _real_data() -> Path | None:
    """The folder with real images: ``ATTNSEG_DATA``, else ``shared/data`` beside the checkout."""
    chosen = os.environ.get("ATTNSEG_DATA")
    folder = Path(chosen) if chosen else REPO.parent / "shared" / "data"
    return folder.resolve() if folder.is_dir() else None


def pytest_report_header() -> str:
    """Say which images the tests see."""
    folder = _real_data()
    if folder is None:
        return "attnseg data: generated demo set only (set ATTNSEG_DATA for real images)"
    return f"attnseg data: real images in {folder}"


@pytest.fixture(scope="session")
def data_root() -> Path | None:
    """The folder with real images, or None where the machine has none."""
    return _real_data()


@pytest.fixture(scope="session")
def demo_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small generated set: semantic, instance and panoptic labels in COCO form."""
    from attnseg.datasets.demo import generate_demo_set

    root = tmp_path_factory.mktemp("demo_set")
    return Path(generate_demo_set(root, num_train=8, num_val=4, size=(64, 64), seed=0))
