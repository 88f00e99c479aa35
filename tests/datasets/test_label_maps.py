"""Folders of images and label maps to a data folder of the documented layout."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools.coco import COCO

from attnseg.datasets import CocoInstanceDataset, CocoPanopticDataset
from attnseg.datasets.converters.label_maps import convert_label_maps

REPO = Path(__file__).resolve().parents[2]
SIZE = (24, 31)


def cell_map(shift: int = 0) -> np.ndarray:
    ids = np.zeros(SIZE, np.uint16)
    ids[2:9, 3 + shift : 12 + shift] = 7
    ids[9:15, 3 + shift : 12 + shift] = 400  # touches 7
    ids[20:22, 1:4] = ids[20:22, 25:28] = 2  # two parts of one cell
    return ids


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for folder in ("microscope", "labels"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        pixels = rng.integers(200, 4000, SIZE).astype(np.uint16)
        tifffile.imwrite(tmp_path / f"microscope/a{number}.tif", pixels)
        labels = tmp_path / f"labels/a{number}_cp_masks.tif"
        tifffile.imwrite(labels, cell_map(number), compression="zlib")
    Image.fromarray(cell_map(4)).save(tmp_path / "labels/a4.png")
    (tmp_path / "labels/a4_cp_masks.tif").unlink()
    tifffile.imwrite(tmp_path / "labels/a3_cp_masks.tif", np.zeros(SIZE, np.uint16))
    return tmp_path


def convert(files: Path, **options) -> list[str]:
    return convert_label_maps(files / "microscope", files / "labels", files / "data", **options)


def test_set_has_both_forms_and_unchanged_images(files):
    lines = convert(files, name="yeast", val_fraction=0.4)
    assert len(lines) == 2 and str(files / "data/annotations") in lines[0]
    seen = {}
    for split, count in (("train", 3), ("val", 2)):
        root = files / "data"
        assert len(list((root / "images" / split).iterdir())) == count
        coco = COCO(str(root / f"annotations/instances_{split}.json"))
        assert [category["name"] for category in coco.cats.values()] == ["yeast"]
        for image_id, image in coco.imgs.items():
            stem = Path(image["file_name"]).stem
            painted = np.zeros(SIZE, np.int64)
            for number, part in enumerate(coco.imgToAnns[image_id], 1):
                painted += number * coco.annToMask(part)
            wanted = np.unique(cell_map(int(stem[1])), return_inverse=True)[1].reshape(SIZE)
            np.testing.assert_array_equal(painted, 0 if stem == "a3" else wanted)
            seen[stem] = (root / "images" / split / image["file_name"]).read_bytes()
        instances = CocoInstanceDataset(
            ann_file=f"annotations/instances_{split}.json",
            data_root=str(root),
            data_prefix={"img": f"images/{split}/"},
            pipeline=[],
        )
        panoptic = CocoPanopticDataset(
            ann_file=f"annotations/panoptic_{split}.json",
            data_root=str(root),
            data_prefix={"img": f"images/{split}/", "seg": f"panoptic/{split}/"},
            pipeline=[],
        )
        assert len(instances) == len(panoptic) == count
        assert panoptic.metainfo["classes"] == ("yeast", "background")
    assert seen == {path.stem: path.read_bytes() for path in (files / "microscope").iterdir()}


def test_split_follows_the_seed_alone(files, tmp_path):
    def names(out: Path, **options) -> list[str]:
        convert_label_maps(files / "microscope", files / "labels", out, **options)
        text = (out / "annotations/instances_val.json").read_text()
        return [image["file_name"] for image in json.loads(text)["images"]]

    first = names(tmp_path / "a", val_fraction=0.4)
    assert names(tmp_path / "b", val_fraction=0.4, workers=2) == first
    assert any(names(tmp_path / str(n), val_fraction=0.4, seed=n) != first for n in range(1, 6))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda root: (root / "labels/a0_cp_masks.tif").unlink(), "1 of 5 images .*a0.tif"),
        (lambda root: (root / "microscope/a0.tif").unlink(), "1 of 5 labels .*a0_cp_masks"),
        (lambda root: (root / "labels").rename(root / "other"), "'.*labels' does not exist"),
        (lambda root: (root / "data").write_text("mine"), "data' is there already"),
        (
            lambda root: tifffile.imwrite(root / "labels/a1_cp_masks.tif", cell_map().T),
            "a1.tif' is 24x31 .* 31x24",
        ),
        (
            lambda root: (root / "microscope/a2.tif").write_bytes(b"II*\0"),
            "a2.tif' cannot be decoded",
        ),
    ],
)
def test_bad_input_is_named_and_no_set_is_made(files, harm, message):
    harm(files)
    before = sorted(files.iterdir())
    with pytest.raises((ValueError, OSError), match=message):
        convert(files, val_fraction=0.4)
    assert sorted(files.iterdir()) == before


def test_a_class_called_background_leaves_no_set(files):
    with pytest.raises(ValueError, match="'background'"):
        convert(files, name="background", val_fraction=0.4)
    assert sorted(path.name for path in files.iterdir()) == ["labels", "microscope"]


def test_tool(files, monkeypatch, capsys):
    script = str(REPO / "tools/dataset_converters/label_maps.py")
    words = [str(files / name) for name in ("microscope", "labels")]
    monkeypatch.setattr(sys, "argv", [script, *words, "--out", str(files / "data")])
    runpy.run_path(script, run_name="__main__")
    assert "4 images" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, run_name="__main__")
    assert ended.value.code == 2 and capsys.readouterr().err.count("\n") == 1
