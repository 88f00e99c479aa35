"""The commands and examples of docs/inference.md, as a user types them."""

import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attnseg.apis import list_models
from tests.apis.segment_rooms import write_room
from tests.conftest import REPO

PAGE = (REPO / "docs/inference.md").read_text()
EXAMPLES = re.findall(r"```python\n(.+?)```", PAGE, re.S)
COMMANDS = re.findall(r"^python tools/segment\.py .+$", PAGE, re.M)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of the names that stand on the page."""
    monkeypatch.chdir(tmp_path)
    for room, config, weights in (
        ("panoptic", "mine.py", "iter_400.pth"),
        ("mask_refine", "refine_best", "iter_3500.pth"),
    ):
        own, state = write_room(room, tmp_path / room)
        own.rename(tmp_path / f"{Path(config).stem}.py")
        state.rename(tmp_path / weights)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8))
    stroke = Image.fromarray(np.full((40, 30), 255, np.uint8))
    for name in ("cells.tif", "horse.jpg", "images/horse.jpg"):
        Path(name).parent.mkdir(exist_ok=True)
        picture.save(name)
    for name in ("stroke.png", "horse.png", "rider.png", "strokes/horse.png"):
        Path(name).parent.mkdir(exist_ok=True)
        stroke.save(name)
    return tmp_path


def typed(text: str) -> str:
    return re.sub(r"(?<![\w/])refine_best(?![\w.])", "refine_best.py", text)


def test_examples(folder: Path) -> None:
    first, segmenter, strokes, models = EXAMPLES
    seen: dict = {}
    for line in first.splitlines():
        # Random weights may find nothing.
        if "instances[0]" not in line or seen["result"].instances:
            exec(line, seen)
    assert seen["result"].overlay().ndim == 3
    frames = [np.zeros((9, 9, 3), np.uint8)]
    exec(segmenter.replace("cuda:0", "cpu"), {"frames": frames})
    exec(typed(strokes), seen)
    assert (folder / "found/overlay/horse.png").is_file()
    weighted = re.sub(r', "iter_400.pth", device="cpu"', "", models)
    exec(weighted, seen)
    assert seen["model"].decode_head.num_classes == 4
    for pattern in re.findall(r'list_models\("(.+?)"\)', models):
        assert list_models(pattern)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(folder: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    _, tool, *words = shlex.split(typed(command))
    monkeypatch.setattr("sys.argv", [tool, *words])
    runpy.run_path(str(REPO / tool), run_name="__main__")
    assert (folder / "found/overlay/horse.png").is_file()


def test_names_of_the_page_are_configs() -> None:
    names = set(re.findall(r"[\w-]+_\dxb[\w-]+", PAGE))
    assert names <= set(list_models())
