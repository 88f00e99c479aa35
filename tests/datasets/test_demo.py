"""The generated demo set: forms agree, seeds hold, files are safe."""

import json

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from attnseg.compat import rgb2id
from attnseg.datasets.demo import CLASSES, MANIFEST, generate_demo_set, paint_scene

SMALL = {"num_train": 2, "num_val": 1, "size": (48, 32)}


def contents(root):
    return {p.relative_to(root): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("size", [(16, 16), (31, 45), (64, 48), (97, 131)])
def test_scene_of_any_size_is_consistent(size):
    scene = paint_scene(size, np.random.default_rng(3))
    assert scene.image.shape == (*size, 3)
    assert set(np.unique(scene.instances)) <= set(range(len(scene.labels) + 1))
    for index, label in enumerate(scene.labels):
        seen = scene.instances == index + 1
        assert seen.sum() >= 12
        assert (scene.semantic[seen] == label).all()
    assert set(np.unique(scene.semantic[scene.instances == 0])) <= {3, 4}


def test_equal_arguments_give_equal_files_and_other_seeds_do_not(tmp_path):
    one = contents(generate_demo_set(tmp_path / "one", **SMALL))
    assert one == contents(generate_demo_set(tmp_path / "two", **SMALL))
    other = contents(generate_demo_set(tmp_path / "three", **SMALL, seed=1))
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one if name.parts[0] == "images")


def test_train_and_val_share_no_scene(demo_set):
    files = [cv2.imread(str(p)).tobytes() for p in (demo_set / "images").rglob("*.png")]
    assert len(files) == len(set(files)) == 12


def test_all_forms_tell_the_same(demo_set):
    truth = COCO(str(demo_set / "annotations/instances_train.json"))
    panoptic = json.loads((demo_set / "annotations/panoptic_train.json").read_text())
    assert [c["name"] for c in panoptic["categories"]] == list(CLASSES)
    assert (demo_set / "classes.txt").read_text().split() == list(CLASSES)
    for image, annotation in zip(panoptic["images"], panoptic["annotations"], strict=True):
        semantic = cv2.imread(str(demo_set / "semantic/train" / image["file_name"]), -1)
        png = cv2.imread(str(demo_set / "panoptic/train" / annotation["file_name"]))
        ids = rgb2id(png[..., ::-1])
        assert semantic.shape == ids.shape == (image["height"], image["width"]) == (64, 64)
        objects = {a["id"]: a for a in truth.imgToAnns[image["id"]]}
        covered = np.zeros(ids.shape, int)
        things = [s for s in annotation["segments_info"] if s["category_id"] <= 3]
        assert len(things) == len(objects)
        for segment in annotation["segments_info"]:
            mask = ids == segment["id"]
            covered += mask
            assert mask.sum() == segment["area"]
            assert (semantic[mask] == segment["category_id"] - 1).all()
            rows, columns = np.nonzero(mask)
            x, y, w, h = segment["bbox"]
            assert (columns.min(), columns.max() + 1) == (x, x + w)
            assert (rows.min(), rows.max() + 1) == (y, y + h)
        assert (covered == 1).all()
        for segment, annotated in zip(things, objects.values(), strict=True):
            np.testing.assert_array_equal(truth.annToMask(annotated), ids == segment["id"])
            assert annotated["area"] == segment["area"]
            assert annotated["category_id"] == segment["category_id"]


def test_every_class_occurs(demo_set):
    labels = [cv2.imread(str(p), -1) for p in (demo_set / "semantic").rglob("*.png")]
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4}


def test_complete_set_is_reused_and_another_replaced(tmp_path):
    root = generate_demo_set(tmp_path / "demo", **SMALL)
    stamp = (root / MANIFEST).stat().st_mtime_ns
    generate_demo_set(root, **SMALL)
    assert (root / MANIFEST).stat().st_mtime_ns == stamp
    generate_demo_set(root, **{**SMALL, "num_train": 3})
    assert len(list((root / "images/train").iterdir())) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]


def test_other_files_are_never_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="nothing is overwritten"):
        generate_demo_set(tmp_path, **SMALL)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr("attnseg.datasets.demo.paint_scene", fail)
    with pytest.raises(OSError, match="disk full"):
        generate_demo_set(tmp_path / "demo", **SMALL)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", [{"num_train": 0}, {"num_val": 0}, {"size": (8, 64)}])
def test_too_small_is_refused(tmp_path, change):
    with pytest.raises(ValueError, match="at least 1 image"):
        generate_demo_set(tmp_path / "demo", **{**SMALL, **change})
