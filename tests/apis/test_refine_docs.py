"""The commands of docs/refine_page.md, as a user types them."""

import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle_tools

from attnseg.apis.experiment import UsageError
from tests.apis.refine_factory import REPO, write_model

PAGE = (REPO / "docs/refine_page.md").read_text()
COMMANDS = {
    words[1]: words[2:]
    for words in map(shlex.split, re.findall(r"^python tools/.+$", PAGE.replace("\\\n", " "), re.M))
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config, weights = write_model(tmp_path / "model")
    monkeypatch.chdir(tmp_path)

    def run_tool(name: str) -> None:
        swap = {"refine_best": str(config), "refine_best.safetensors": str(weights)}
        monkeypatch.setattr("sys.argv", [name, *(swap.get(w, w) for w in COMMANDS[name])])
        spec = importlib.util.spec_from_file_location("tool", REPO / name)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.main()

    return run_tool


def square(size: int = 20) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[4:12, 5:15] = 1
    return mask


def test_folder(run, tmp_path: Path) -> None:
    for folder, name in (("images", "horse.jpg"), ("strokes", "horse.png")):
        (tmp_path / folder).mkdir()
        Image.fromarray(square() * np.uint8(255)).save(tmp_path / folder / name)
    run("tools/refine_images.py")
    assert (np.array(Image.open(tmp_path / "masks/horse.png")) == 255 * square()).all()


def test_results_of_another_model(run, tmp_path: Path) -> None:
    (tmp_path / "images/val").mkdir(parents=True)
    Image.fromarray(square()).save(tmp_path / "images/val/a.png")
    rle = rle_tools.encode(np.asfortranarray(square()))
    shape = {"segmentation": {"size": [20, 20], "counts": rle["counts"].decode()}}
    object_ = {"image_id": 3, "category_id": 1, **shape}
    truth = {
        "images": [{"id": 3, "file_name": "a.png", "height": 20, "width": 20}],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [{"id": 1, "iscrowd": 0, **object_}],
    }
    (tmp_path / "instances_val.json").write_text(json.dumps(truth))
    results = [object_ | {"score": 0.5}]
    # The packed file of the page, which readers tell by its content.
    (tmp_path / "detections_val_mine_results.zip").write_text(json.dumps(results))
    run("tools/refine_predictions.py")
    assert json.loads((tmp_path / "refined.json").read_text()) == results


def test_a_missing_gradio_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "attnseg.apis.refine_page.page", raising=False)
    with pytest.raises(UsageError, match="needs Gradio 6, .* pip install 'gradio>=6,<7'"):
        importlib.import_module("attnseg.apis.refine_page.page")


def test_page(run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio")
    from attnseg.apis.refine_page import page

    launched = []
    monkeypatch.setattr(page, "launch_page", lambda *given: launched.append(given))
    run("tools/refine_app.py")
    blocks, port = launched[0]
    assert port is None and blocks.analytics_enabled is False
