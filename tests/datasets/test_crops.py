"""Parts of dense images put together again are the image and its cells."""

import json
import runpy
import sys

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from attnseg.datasets import LoadImage
from attnseg.datasets.converters.crops import crop_dense, cut_windows
from attnseg.datasets.converters.label_map import encode_label_map
from attnseg.datasets.converters.split import Split

from .published_cells import REPO, SIZE, coco, load, write_image, write_json


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 90)] * 2, *[st.integers(1, 30)] * 2), max_size=60),
    st.tuples(st.integers(1, 120), st.integers(1, 120)),
    st.integers(1, 20),
    st.integers(1, 40),
)
def test_windows_are_a_partition_with_few_enough_boxes(boxes, size, limit, side):
    boxes = np.array(boxes, float).reshape(-1, 4)
    cover = np.zeros(size, int)
    for y, x, height, width in cut_windows(boxes, size, limit, side):
        cover[y : y + height, x : x + width] += 1
        assert min(height, width) >= min(side, *size)
        reach = sum(
            bx < x + width and bx + bw > x and by < y + height and by + bh > y
            for bx, by, bw, bh in boxes
        )
        assert reach <= limit or max(height, width) < 2 * side
    assert (cover == 1).all()


def dense(size=(96, 130), step=10):
    """Label map of a grid of cells of 7x7 pixels."""
    ids = np.zeros(size, np.int32)
    for number, y in enumerate(range(2, size[0] - 7, step)):
        for column, x in enumerate(range(2, size[1] - 7, step)):
            ids[y : y + 7, x : x + 7] = 1 + number * 50 + column
    return ids


@pytest.mark.parametrize(
    ("name", "kind", "channels"),
    [
        ("a.png", np.uint8, 3),
        ("a.png", np.uint16, 1),
        ("a.tif", np.uint8, 2),
        ("a.tif", np.uint16, 3),
        ("a.tif", np.float32, 1),
        ("a.tif", np.float32, 5),
    ],
)
def test_parts_are_the_image_and_its_cells(tmp_path, name, kind, channels):
    ids = dense()
    values = np.random.default_rng(0).integers(0, 255, (*ids.shape, channels)).astype(kind)
    root, out = tmp_path / "set", tmp_path / "crops"
    (root / "images").mkdir(parents=True)
    path = root / "images" / name
    if name.endswith("png"):
        cv2.imwrite(str(path), values)
    else:
        tifffile.imwrite(path, np.moveaxis(values, 2, 0), photometric="minisblack")
    split = Split()
    split.add(
        {"file_name": f"images/{name}", "height": ids.shape[0], "width": ids.shape[1]},
        [{**part, "category_id": 1} for part in encode_label_map(ids)[1]],
    )
    split.write(root / "annotations/instances_train.json", ["cell"])
    crop_dense(root, out, max_objects=30, min_side=20, min_share=0)
    made = COCO(str(out / "annotations/instances_train.json"))
    again, cells = np.zeros_like(values), np.zeros(ids.shape, bool)
    assert len(made.imgs) > 2
    for image in made.imgs.values():
        y, x = (int(text[1:]) for text in image["file_name"][:-4].split("_")[1:])
        area = (slice(y, y + image["height"]), slice(x, x + image["width"]))
        loader = LoadImage(channels=None)
        loaded = loader.transform({"img_path": str(out / image["file_name"]), **image})["img"]
        if kind == np.uint8:
            again[area] = loaded
        assert loaded.shape[2] == channels
        assert 0 < len(made.imgToAnns[image["id"]]) <= 30
        for part in made.imgToAnns[image["id"]]:
            mask = made.annToMask(part).astype(bool)
            assert part["area"] == mask.sum() and len(np.unique(ids[area][mask])) == 1
            cells[area] |= mask
    np.testing.assert_array_equal(cells, ids > 0)
    if kind == np.uint8:
        np.testing.assert_array_equal(again, values)


def test_small_pieces_are_left_out(tmp_path):
    root, out = tmp_path / "set", tmp_path / "crops"
    write_image(root / "a.png", (39, 40))
    ids = np.zeros((39, 40), np.uint8)
    ids[5:10, 10:21], ids[30:35, 30:35] = 1, 2
    split = Split()
    split.add(
        {"file_name": "a.png", "height": 39, "width": 40},
        [{**part, "category_id": 1} for part in encode_label_map(ids)[1]],
    )
    split.write(root / "annotations/instances_val.json", ["cell"])
    counts = []
    for share in (0.0, 0.1):
        crop_dense(root, out, max_objects=1, min_side=20, min_share=share)
        counts.append(len(COCO(str(out / "annotations/instances_val.json")).anns))
    # One column of the 11 of the first cell lies right of the cut.
    assert counts == [3, 2]


def test_sparse_images_stay_and_the_config_takes_the_folder(tmp_path, monkeypatch, capsys):
    root, out = tmp_path / "livecell", tmp_path / "crops"
    write_image(root / "images/a.tif")
    for split in ("train", "val", "test"):
        write_json(root / f"annotations/instances_{split}.json", coco(["images/a.tif"]))
    script = REPO / "tools/dataset_converters/crop_dense.py"
    monkeypatch.setattr(sys, "argv", ["crop_dense", str(root), str(out)])
    runpy.run_path(str(script), run_name="__main__")
    assert "1 images (0 without objects), 3 objects" in capsys.readouterr().out
    assert not (out / "images").exists()
    sample = load("livecell", "val", out)[0]["data_samples"]
    assert sample.ori_shape == SIZE and len(sample.gt_instances) == 3
    assert json.loads((out / "annotations/instances_val.json").read_text())["images"] == [
        {"file_name": "../livecell/images/a.tif", "height": 52, "width": 70, "id": 1}
    ]


def test_what_cannot_be_cut_is_said(tmp_path):
    with pytest.raises(ValueError, match="out and root are both"):
        crop_dense(tmp_path, tmp_path)
    with pytest.raises(ValueError, match=r"got 0, 64, 0.1"):
        crop_dense(tmp_path, tmp_path / "out", max_objects=0)
    with pytest.raises(FileNotFoundError, match="convert the set first"):
        crop_dense(tmp_path, tmp_path / "out")
    write_json(tmp_path / "annotations/instances_val.json", coco(["a.png"]))
    write_image(tmp_path / "b.png")
    with pytest.raises(FileNotFoundError, match=r"image 'a.png' of .* is not below"):
        crop_dense(tmp_path, tmp_path / "out")
    write_image(tmp_path / "a.png", (20, 30))
    with pytest.raises(ValueError, match=r"a.png' is 20x30 .*, but 52x70"):
        crop_dense(tmp_path, tmp_path / "out", max_objects=1, min_side=10)
    assert not (tmp_path / "out").exists()


def test_parts_of_images_of_one_name_are_told_apart(tmp_path):
    """NeurIPS22-CellSeg has a cell_00001 in both of its folders."""
    root, out = tmp_path / "set", tmp_path / "crops"
    levels = {"train": ("a/x.png", 40), "val": ("b/x.png", 80), "test": ("b/x.bmp", 120)}
    for split, (name, level) in levels.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / name), np.full((*SIZE, 3), level, np.uint8))
        write_json(root / f"annotations/instances_{split}.json", coco([name]))
    both = coco(["b/x.png", "b/x.bmp"])
    write_json(root / "annotations/instances_both.json", both)
    crop_dense(root, out, max_objects=1, min_side=10)
    for split, (_, level) in levels.items():
        content = json.loads((out / f"annotations/instances_{split}.json").read_text())
        names = {image["file_name"] for image in content["images"]}
        assert len(names) == len(content["images"]) > 1
        assert all((cv2.imread(str(out / name)) == level).all() for name in names)
    content = json.loads((out / "annotations/instances_both.json").read_text())
    assert len({image["file_name"] for image in content["images"]}) == len(content["images"])
    write_json(root / "annotations/instances_both.json", coco(["b/x.png", "b/x.png"]))
    with pytest.raises(ValueError, match=r"instances_both.json' lists the image 'b/x.png' twice"):
        crop_dense(root, out, max_objects=1, min_side=10)


def test_set_whose_images_lie_elsewhere(tmp_path):
    """As after a conversion with --out."""
    write_image(tmp_path / "livecell/a.png")
    write_json(tmp_path / "two/annotations/instances_val.json", coco(["../livecell/a.png"]))
    crop_dense(tmp_path / "two", tmp_path / "out", max_objects=1, min_side=10)
    content = json.loads((tmp_path / "out/annotations/instances_val.json").read_text())
    assert len(content["images"]) > 1


def test_a_published_json_in_the_other_folder_is_not_replaced(tmp_path):
    for folder in ("set", "out"):
        write_image(tmp_path / folder / "a.png")
        write_json(tmp_path / folder / "annotations/instances_val.json", coco(["a.png"]))
    with pytest.raises(ValueError, match=r"out/annotations/instances_val.json' was not written by"):
        crop_dense(tmp_path / "set", tmp_path / "out")


def test_no_json_is_written_before_all_splits_are_cut(tmp_path):
    write_image(tmp_path / "set/a.png")
    for split, name in (("train", "a.png"), ("val", "b.png")):
        write_json(tmp_path / f"set/annotations/instances_{split}.json", coco([name]))
    with pytest.raises(FileNotFoundError, match="'b.png'"):
        crop_dense(tmp_path / "set", tmp_path / "out", max_objects=1, min_side=10)
    assert not (tmp_path / "out/annotations").exists()
