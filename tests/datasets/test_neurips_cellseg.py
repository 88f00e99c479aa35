"""NeurIPS 2022 Cell Segmentation: label maps to samples of our data sets."""

import json
import runpy
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools.coco import COCO

from attnseg.datasets.converters.neurips_cellseg import convert_neurips_cellseg

from .published_cells import (
    REPO,
    SIZE,
    cell_map,
    load,
    write_image,
    write_neurips_cellseg,
    write_pair,
)


@pytest.fixture
def published(tmp_path):
    return write_neurips_cellseg(tmp_path)


def painted(coco, image_id):
    ids = np.zeros(SIZE, np.int64)
    for number, part in enumerate(coco.imgToAnns[image_id], 1):
        ids += number * coco.annToMask(part)
    return ids


def test_published_form_to_samples(published):
    lines = convert_neurips_cellseg(published)
    assert lines[1].endswith("2 images (1 without objects), 3 objects, at most 3 in an image")
    coco = COCO(str(published / "annotations/instances_train.json"))
    assert len(coco.imgs) == 4
    for image_id in coco.imgs:
        np.testing.assert_array_equal(painted(coco, image_id), cell_map())
    train, val = (
        load("neurips_cellseg", "train", published),
        load("neurips_cellseg", "val", published),
    )
    assert (len(train), len(val)) == (4, 2)
    for sample in train:
        assert sample["inputs"].shape == (3, 512, 512)
    objects = [sample["data_samples"].gt_instances for sample in val]
    np.testing.assert_array_equal(
        sum(n * mask for n, mask in enumerate(objects[0].masks.masks.astype(int), 1)), cell_map()
    )
    assert len(objects[1]) == 0 and objects[1].masks.masks.shape == (0, *SIZE)


def test_result_does_not_depend_on_workers(published, tmp_path):
    for workers in (1, 2):
        convert_neurips_cellseg(published, tmp_path / str(workers), workers=workers)
    for split in ("train", "val"):
        one, two = ((tmp_path / n / f"annotations/instances_{split}.json") for n in "12")
        assert one.read_bytes() == two.read_bytes()


def test_set_without_tuning_is_parted(tmp_path):
    for number in range(10):
        write_pair(tmp_path, f"cell_{number}")
    convert_neurips_cellseg(tmp_path, val_fraction=0.2)
    names = [
        {i["file_name"] for i in json.loads(path.read_text())["images"]}
        for path in sorted((tmp_path / "annotations").iterdir())
    ]
    assert [len(part) for part in names] == [8, 2]
    assert names[0] | names[1] == {f"images/cell_{number}.png" for number in range(10)}


@pytest.mark.parametrize("kind", [np.uint8, np.uint32, np.int32, np.float32])
def test_labels_of_other_types_and_with_parts(tmp_path, kind):
    ids = cell_map().astype(kind)
    ids[0, 0] = 2
    for number in range(2):
        write_pair(tmp_path, f"cell_{number}", ids=ids)
    convert_neurips_cellseg(tmp_path, val_fraction=0.5)
    coco = COCO(str(tmp_path / "annotations/instances_val.json"))
    np.testing.assert_array_equal(painted(coco, 1), ids)


def test_compressed_labels(tmp_path):
    for number, compression in enumerate(("tiff_lzw", "tiff_adobe_deflate")):
        write_pair(tmp_path, f"cell_{number}")
        label = tmp_path / f"labels/cell_{number}_label.tiff"
        Image.fromarray(cell_map()).save(label, compression=compression)
    convert_neurips_cellseg(tmp_path, val_fraction=0.5)
    for split in ("train", "val"):
        coco = COCO(str(tmp_path / f"annotations/instances_{split}.json"))
        np.testing.assert_array_equal(painted(coco, 1), cell_map())


def breaks(name):
    """A function that breaks a set in one way."""

    def act(root):
        images, labels = root / "Tuning/images", root / "Tuning/labels"
        label = labels / "cell_00001_label.tiff"
        if name == "label without image":
            (images / "cell_00001.png").unlink()
        elif name == "image without label":
            label.unlink()
        elif name == "two images":
            write_image(images / "cell_00001.bmp")
        elif name == "no labels":
            for path in labels.iterdir():
                path.unlink()
        elif name == "no folder":
            labels.rename(root / "Tuning/masks")
        elif name == "size":
            tifffile.imwrite(label, cell_map().T)
        elif name == "rgb":
            tifffile.imwrite(label, np.zeros((*SIZE, 3), np.uint8), photometric="rgb")
        elif name == "fractions":
            tifffile.imwrite(label, np.full(SIZE, 0.5, np.float32))
        elif name == "negative":
            tifffile.imwrite(label, np.full(SIZE, -1, np.int16))
        elif name == "damaged label":
            label.write_bytes(b"II*\0no tiff")
        elif name == "cut label":
            label.write_bytes(label.read_bytes()[:-600])
        elif name == "damaged image":
            (images / "cell_00001.png").write_bytes(b"")

    return act


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("act", "message"),
    [
        ("label without image", r"1 of 2 labels .* no image, .*cell_00001_label.tiff'"),
        ("image without label", r"1 of 2 images .* no label, .*cell_00001.png'"),
        ("two images", r"cell_00001.bmp' and .*cell_00001.png' have one name"),
        ("no labels", r"no image file in '.*labels'"),
        ("no folder", r"Tuning' has no folder 'labels'"),
        ("size", r"cell_00001.png' is 52x70 .* 70x52 in .*cell_00001_label.tiff'"),
        ("rgb", r"cell_00001_label.tiff' has 3 channels"),
        ("fractions", "no whole numbers"),
        ("negative", "holds -1"),
        ("damaged label", r"cell_00001_label.tiff' cannot be decoded"),
        ("cut label", r"cell_00001_label.tiff' cannot be decoded"),
        ("damaged image", r"cell_00001.png' cannot be decoded"),
    ],
)
def test_bad_files_are_named_and_nothing_is_written(published, act, message, workers):
    breaks(act)(published)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        convert_neurips_cellseg(published, workers=workers)
    assert not (published / "annotations").exists()


def test_tools(published, monkeypatch, capsys):
    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(REPO / f"tools/dataset_converters/{name}.py"), run_name="__main__")

    run("neurips_cellseg", published, "--workers", "2")
    assert "4 images (0 without objects), 12 objects" in capsys.readouterr().out
    for name in ("livecell", "evican", "revvity", "neurips_cellseg"):
        with pytest.raises(SystemExit) as ended:
            run(name, "nowhere")
        assert ended.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit):
        run("livecell", "nowhere", "--ann-file", "a172.json")
    assert "write it as SPLIT=FILE" in capsys.readouterr().err
