"""LIVECell, EVICAN2 and Revvity-25: files and objects that are not as they should be."""

import json
import re

import pytest

from attnseg.datasets.converters.evican import convert_evican
from attnseg.datasets.converters.livecell import convert_livecell
from attnseg.datasets.converters.revvity import convert_revvity

from .published_cells import (
    SIZE,
    coco,
    write_image,
    write_json,
)


def test_nothing_to_convert_is_said(tmp_path):
    for convert, message in (
        (convert_livecell, "no livecell_coco_train.json"),
        (convert_evican, "none of instances_train2019_EVICAN2.json"),
    ):
        with pytest.raises(FileNotFoundError, match=message):
            convert(tmp_path)
    with pytest.raises(FileNotFoundError, match="no json below"):
        convert_revvity(tmp_path)
    write_json(tmp_path / "revvity/a.json", coco(["a.png"]))
    with pytest.raises(FileNotFoundError, match=r"no image \(.bmp"):
        convert_revvity(tmp_path / "revvity")
    write_image(tmp_path / "a.png")
    write_json(tmp_path / "livecell_coco_val.json", coco(["a.png"]))
    with pytest.raises(FileNotFoundError, match="images' does not exist"):
        convert_livecell(tmp_path, images=tmp_path / "images")


def change(root, act):
    """Change the one json of Revvity by a function."""
    content = json.loads((root / "annotations.json").read_text())
    act(content)
    write_json(root / "annotations.json", content)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda c: c["images"][0].update(file_name="no.png"), r"1 of 10 images .*'no.png'"),
        (lambda c: c["images"][0].update(width=52, height=70), r"0.png' is 52x70 .*70x52 in"),
        (lambda c: c["images"].append(c["images"][1]), r"several images have the id \[12\]"),
        (lambda c: c["images"][0].pop("height"), r"image 11 lacks 'height'"),
        (lambda c: c["annotations"].clear(), "has no annotation"),
        (lambda c: c.pop("annotations"), "has no annotations"),
        (lambda c: c["annotations"][0].update(category_id=7), r"category_id \[7\]"),
        (lambda c: c["annotations"][0].update(image_id=7), r"image_id \[7\]"),
        (
            lambda c: (
                c["categories"].append({"id": 2, "name": "Debris"}),
                c["annotations"][0].update(category_id=2),
            ),
            r"categories \['debris'\]; expected \('cell',\)",
        ),
        (
            lambda c: c["annotations"][0].update(segmentation={"size": [70, 52], "counts": [3640]}),
            r"annotation 1100 of image '0.png': RLE of size \(H, W\) = \(70, 52\), the image has",
        ),
        (
            lambda c: c["annotations"][0].update(segmentation={"size": [52, 70], "counts": [5, 5]}),
            r"annotation 1100 .* runs of 10 pixels, the mask has 3640",
        ),
        (
            lambda c: c["annotations"][0].update(segmentation={"size": [52, 70], "counts": "0PL"}),
            r"annotation 1100 .* damaged RLE",
        ),
        (
            lambda c: c["annotations"][0].update(
                segmentation={"size": [52, 70], "counts": [-5, 3645]}
            ),
            r"annotation 1100 .* damaged RLE",
        ),
        (lambda c: c["images"][0].update(file_name=None), r"image 11 has the file_name None"),
        (lambda c: c["annotations"][0].update(area=None), r"annotation 1100 has the area None"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3]), r"1100 has the bbox \[1, 2, 3\]"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3, "4"]), "1100 has the bbox"),
        (
            lambda c: c["annotations"][0].update(iscrowd=None),
            "1100 has the iscrowd None, expected 0 or 1",
        ),
        (
            lambda c: c["annotations"][0].update(segmentation=[[0, 0, "1", 1, 2, 2]]),
            "points that are no numbers",
        ),
        (
            lambda c: c["annotations"][0].update(segmentation=[[0, 0, 3, 1, 2, 2], 7]),
            "points that are no numbers",
        ),
        (
            lambda c: c["annotations"][0].update(segmentation=[[0, 0, float("nan"), 1, 2, 2]]),
            "points that are no numbers",
        ),
    ],
)
def test_bad_annotations_are_named(revvity, act, message):
    change(revvity, act)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        convert_revvity(revvity)
    assert not (revvity / "annotations").exists()


def broken(name, content):
    """Bytes of a file of the form by id, broken in one way."""
    text = json.dumps(content).encode()
    if name == "cut":
        return text[:-300]
    if name == "list":
        return b"[" + text + b"]"
    if name == "nested":
        return b'{"annotations": ' + text + b', "images": [], "categories": [1]}'
    if name == "not UTF-8":
        return text.replace(b"A172", b"A17\xff", 1)
    next(iter(content["annotations"].values())).pop("category_id")
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no class", "annotation 1100 lacks 'category_id'"),
        ("cut", "is not valid JSON"),
        ("list", "has no images and no categories"),
        ("nested", "has no images"),
        ("not UTF-8", "is not valid JSON.*0xff"),
    ],
)
def test_errors_of_the_other_form_name_the_published_file(livecell, name, message):
    path = livecell / "annotations/LIVECell/livecell_coco_test.json"
    path.write_bytes(broken(name, json.loads(path.read_text())))
    with pytest.raises(
        ValueError, match=rf"annotation file '{path}'.* {message}|{path}' {message}"
    ):
        convert_livecell(livecell)


def test_published_names_that_stand_twice(livecell, evican):
    path = livecell / "annotations/LIVECell/livecell_coco_test.json"
    write_json(livecell / "old" / path.name, json.loads(path.read_text()))
    with pytest.raises(ValueError, match="'livecell_coco_test.json' is 2 times below"):
        convert_livecell(livecell)
    (evican / "copy/EVICAN_eval2019").mkdir(parents=True)
    with pytest.raises(ValueError, match="'EVICAN_eval2019' is 2 times below"):
        convert_evican(evican)


def test_wrong_cell_types_are_said_before_any_image_is_opened(livecell):
    for path in livecell.rglob("*.tif"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="no image of the cell types"):
        convert_livecell(livecell, cell_types=["Huh7"])


def test_objects_without_a_pixel_are_left_out_and_counted(revvity):
    def act(content):
        parts = content["annotations"]
        parts[0]["segmentation"] = [[1, 1, 5, 5]]
        parts[1]["segmentation"] = {"size": [*SIZE], "counts": [SIZE[0] * SIZE[1]]}
        parts[2]["bbox"] = [80, 60, 5, 5]
        parts[3]["segmentation"] = {"size": [*SIZE], "counts": [4, 6, SIZE[0] * SIZE[1] - 10]}

    change(revvity, act)
    line = convert_revvity(revvity)[0]
    for text in (
        "left out: 1 objects without a polygon of three points",
        "1 objects with an empty mask",
        "1 objects smaller than a pixel or outside the image",
    ):
        assert text in line
    written = [
        json.loads((revvity / f"annotations/instances_{split}.json").read_text())
        for split in ("train", "val")
    ]
    parts = [part for content in written for part in content["annotations"]]
    assert len(parts) == 27
    (code,) = [p["segmentation"] for p in parts if isinstance(p["segmentation"], dict)]
    assert isinstance(code["counts"], str)


def test_polygons_beside_the_image_are_left_out_whatever_their_box_says(revvity):
    def act(content):
        content["annotations"][0]["segmentation"] = [[900, 900, 910, 900, 910, 910]]

    change(revvity, act)
    line = convert_revvity(revvity)[0]
    assert "left out: 1 objects smaller than a pixel or outside the image" in line


def test_annotations_listed_twice_are_written_once(revvity):
    def act(content):
        content["annotations"].append(content["annotations"][0])

    before = sum(int(n) for n in re.findall(r"(\d+) objects", " ".join(convert_revvity(revvity))))
    change(revvity, act)
    lines = " ".join(convert_revvity(revvity))
    assert "left out: 1 annotations listed twice" in lines
    assert sum(int(n) for n in re.findall(r"(\d+) objects", lines)) == before


def test_objects_that_lose_a_polygon_are_measured_again(revvity):
    def act(content):
        part = content["annotations"][0]
        part["segmentation"] = [[40, 40, 60, 50], [2, 3, 12, 3, 12, 9, 2, 9], [7, 7]]
        part.update(area=260, bbox=[2, 3, 58, 47])

    change(revvity, act)
    line = convert_revvity(revvity, val_fraction=0.2, seed=0)[0]
    assert "left out: 2 polygons without three points, of objects that have others" in line
    parts = [
        part
        for split in ("train", "val")
        for part in json.loads((revvity / f"annotations/instances_{split}.json").read_text())[
            "annotations"
        ]
    ]
    assert len(parts) == 30
    (part,) = [p for p in parts if p["bbox"] == [2, 3, 10, 6]]
    assert part["area"] == 60 and part["segmentation"] == [[2, 3, 12, 3, 12, 9, 2, 9]]


def test_an_image_that_is_there_twice(revvity):
    write_image(revvity / "copies/0.png")
    with pytest.raises(ValueError, match="image '0.png' is 2 times below"):
        convert_revvity(revvity)


def test_a_damaged_image(revvity):
    (revvity / "images/3.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"3.png' cannot be decoded"):
        convert_revvity(revvity)
