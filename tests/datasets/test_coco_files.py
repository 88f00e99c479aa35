"""The reader of COCO-form files that data sets and metrics share: each key, each bad entry."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle_tools

from attnseg.coco_files import read_coco_json, read_segment_ids
from attnseg.datasets import CocoInstanceDataset, CocoPanopticDataset
from attnseg.evaluation import CocoInstanceMetric, PanopticMetric

PANOPTIC_PREFIX = {"img": "images", "seg": "seg"}


def build_instances(root):
    prefix = {"img": "images"}
    return CocoInstanceDataset(data_root=str(root), ann_file="annotations.json", data_prefix=prefix)


def build_panoptic(root):
    return CocoPanopticDataset(
        data_root=str(root), ann_file="panoptic.json", data_prefix=PANOPTIC_PREFIX
    )


def refused(build, root, *parts):
    with pytest.raises(ValueError) as caught:
        build(root)
    for part in (str(root), *parts):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("key", "position", "missing", "name"),
    [
        ("images", 1, "height", "image 9"),
        ("images", 1, "width", "image 9"),
        ("images", 1, "file_name", "image 9"),
        ("images", 1, "id", "image at position 1"),
        ("categories", 0, "name", "category 5"),
        ("categories", 0, "id", "category at position 0"),
        ("annotations", 1, "image_id", "annotation 2"),
        ("annotations", 1, "category_id", "annotation 2"),
        ("annotations", 1, "segmentation", "annotation 2"),
    ],
)
def test_missing_key_of_instances_is_named(coco_folder, key, position, missing, name):
    root = coco_folder(lambda content: content[key][position].pop(missing))
    refused(build_instances, root, "annotations.json", name, f"lacks '{missing}'")


@pytest.mark.parametrize("missing", ["id", "category_id", "area", "bbox"])
def test_missing_key_of_a_segment_is_named(panoptic_folder, missing):
    root = panoptic_folder(
        lambda content: content["annotations"][0]["segments_info"][1].pop(missing)
    )
    name = "at position 1" if missing == "id" else "300"
    refused(build_panoptic, root, "image_id 1", name, f"lacks '{missing}'")


@pytest.mark.parametrize("value", [None, [], {}, "abc", [1, 2, 3, 4, 5, 6], {"counts": [1]}])
def test_segmentation_of_another_form_is_refused(coco_folder, value):
    root = coco_folder(lambda content: content["annotations"][1].update(segmentation=value))
    refused(build_instances, root, "annotation 2", "polygons or RLE needed")
    with pytest.raises(ValueError, match="polygons or RLE needed"):
        CocoInstanceMetric(str(root / "annotations.json"))


def test_entries_that_are_no_objects_are_refused(coco_folder):
    root = coco_folder(lambda content: content["annotations"].append(7))
    refused(build_instances, root, "annotation at position 2")
    root = coco_folder(lambda content: content.update(images={"id": 3}))
    refused(build_instances, root, "'images' is a dict, expected a list")


def test_form_is_checked_at_every_annotation(coco_folder, panoptic_folder):
    root = coco_folder(lambda content: content["annotations"][1].update(segments_info=[]))
    refused(build_instances, root, "is of the panoptic form", "annotation 2")
    with pytest.raises(ValueError, match="is of the panoptic form"):
        CocoInstanceMetric(str(root / "annotations.json"))
    root = panoptic_folder(lambda content: content["annotations"].append({"image_id": 1}))
    refused(build_panoptic, root, "is of the instances form", "at position 1", "segments_info")
    with pytest.raises(ValueError, match="is of the instances form"):
        PanopticMetric(str(root / "panoptic.json"), str(root / "seg"))


@pytest.mark.parametrize("form", ["polygons", "runs", "compressed"])
def test_area_and_box_come_from_the_mask(coco_folder, form):
    mask = np.zeros((20, 30), np.uint8)
    mask[3:9, 2:10] = 1
    rle = rle_tools.encode(np.asfortranarray(mask))
    edges = np.flatnonzero(np.diff(mask.ravel(order="F"), prepend=0, append=0))
    segmentation = {
        "polygons": [[2, 3, 10, 3, 10, 9, 2, 9], [1, 1, 2, 2]],
        "runs": {"size": [20, 30], "counts": np.diff(edges, prepend=0, append=600).tolist()},
        "compressed": {"size": [20, 30], "counts": rle["counts"].decode()},
    }[form]

    def change(content):
        del content["annotations"][0]["area"], content["annotations"][0]["bbox"]
        content["annotations"][0]["segmentation"] = segmentation

    path = coco_folder(change) / "annotations.json"
    first = read_coco_json(str(path), "instances")["annotations"][0]
    assert (first["area"], first["bbox"]) == (48.0, [2.0, 3.0, 8.0, 6.0])


def test_what_cannot_be_measured_is_refused(coco_folder):
    def change(content):
        del content["annotations"][0]["bbox"]
        content["annotations"][0]["segmentation"] = [[1, 1, 5, 5]]

    refused(build_instances, coco_folder(change), "annotation 1", "no polygon of three points")


def test_files_of_boxes_alone_serve_box_metrics(coco_folder):
    def change(content):
        for annotation in content["annotations"]:
            del annotation["segmentation"], annotation["area"]

    path = str(coco_folder(change) / "annotations.json")
    assert read_coco_json(path, "instances")["annotations"][0]["area"] == 48
    CocoInstanceMetric(path, iou_type="bbox")
    with pytest.raises(ValueError, match="lacks 'segmentation'"):
        CocoInstanceMetric(path)
    content = json.loads(Path(path).read_text())
    del content["annotations"][1]["bbox"]
    (coco_folder() / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="annotation 2 lacks 'bbox'"):
        CocoInstanceMetric(path, iou_type="bbox")


def test_mode_of_the_png_is_checked(tmp_path):
    for mode in ("L", "RGBA", "P"):
        Image.new(mode, (4, 3)).save(tmp_path / "a.png")
        with pytest.raises(ValueError, match=rf"a\.png' has mode {mode}; expected 8-bit RGB"):
            read_segment_ids(str(tmp_path / "a.png"))
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.png' cannot be decoded"):
        read_segment_ids(str(tmp_path / "a.png"))
    with pytest.raises(FileNotFoundError, match=r"b\.png' does not exist"):
        read_segment_ids(str(tmp_path / "b.png"))


def test_checks_cost_little_beside_parsing(coco_folder):
    def grow(content):
        first = content["annotations"][0]
        content["annotations"] = [{**first, "id": number} for number in range(100_000)]

    path = coco_folder(grow) / "annotations.json"
    start = time.process_time()
    json.loads(path.read_text())
    parsing = time.process_time() - start
    start = time.process_time()
    read_coco_json(str(path), "instances", need=("annotation.segmentation", "image.file_name"))
    assert time.process_time() - start < 5 * parsing + 1


@pytest.mark.parametrize("missing", [12, 20, 500])
def test_segment_map_without_its_end_is_named(tmp_path, missing):
    ids = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(ids).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-missing])
    with pytest.raises(ValueError, match=r"a\.png' cannot be decoded"):
        read_segment_ids(str(tmp_path / "a.png"))


def test_segment_map_too_large_to_decode_is_named(tmp_path, monkeypatch):
    Image.new("RGB", (40, 50)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match=r"a\.png' cannot be decoded: .*exceeds limit"):
        read_segment_ids(str(tmp_path / "a.png"))


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (
            lambda c: c["images"].append(c["images"][0]),
            ("several images have the id [", "only one"),
        ),
        (lambda c: c["categories"].append(c["categories"][0]), ("several categories have the id",)),
        (lambda c: c["images"][0].update(height="20"), ("has the height '20'",)),
        (lambda c: c["images"][0].update(width=float("nan")), ("has the width nan",)),
        (lambda c: c["images"][0].update(height=2**19, width=2**19), ("pixels in all",)),
        (lambda c: c["images"][0].update(file_name=["a"]), ("has the file_name ['a']",)),
        (lambda c: c["categories"][0].update(id="5"), ("has the id '5'",)),
        (lambda c: c["categories"][0].update(name=""), ("has the name ''",)),
        (lambda c: c["annotations"][0].update(image_id={}), ("has the image_id {}",)),
        (lambda c: c["annotations"][0].update(category_id=[5]), ("has the category_id [5]",)),
        (lambda c: c["annotations"][0].update(iscrowd=2), ("has the iscrowd 2",)),
        (lambda c: c["annotations"][0].update(area=10**400), ("has the area 1000",)),
    ],
)
def test_values_of_another_type_are_named(coco_folder, change, parts):
    refused(build_instances, coco_folder(change), "annotations.json", *parts)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda c: c["annotations"].append(c["annotations"][0]), "several annotations have image"),
        (lambda c: c["annotations"][0]["segments_info"][0].update(id=2**24), "has the id 16777216"),
        (lambda c: c["annotations"][0]["segments_info"][0].update(bbox=[1, 2]), "has the bbox"),
        (lambda c: c["categories"][0].update(isthing="yes"), "has the isthing 'yes'"),
        (lambda c: c["categories"][0].update(color=[1, 2, 300]), "has the color"),
        (
            lambda c: c["annotations"][0]["segments_info"].append(
                c["annotations"][0]["segments_info"][0]
            ),
            "several segments have the id",
        ),
    ],
)
def test_values_of_panoptic_files_are_named(panoptic_folder, change, part):
    refused(build_panoptic, panoptic_folder(change), "panoptic.json", part)


def test_deep_nesting_is_no_json(tmp_path):
    (tmp_path / "a.json").write_text('{"images":' + "[" * 100_000)
    with pytest.raises(ValueError, match=r"a\.json' is not valid JSON"):
        read_coco_json(str(tmp_path / "a.json"), "instances")


def test_masks_for_decoders_in_c_are_checked_first(coco_folder):
    """A code of too few runs leaves pixels as they were; a far point takes all memory."""
    for mask, words in (
        ({"size": [20, 30], "counts": "0"}, "object 1 of image .*runs of 0 pixels"),
        ([[1, 1, 5, 1, 5, 1e9]], "object 1 of image .*1048576 pixels from"),
    ):
        root = coco_folder(lambda c, mask=mask: c["annotations"][1].update(segmentation=mask))
        pipeline = [{"type": "attnseg.LoadImage", "check_sizes": True}]
        dataset = CocoInstanceDataset(
            data_root=str(root), ann_file="annotations.json", data_prefix={"img": "images"},
            pipeline=pipeline,
        )  # fmt: skip
        with pytest.raises(ValueError, match=words):
            for index in range(len(dataset)):
                dataset[index]
