"""attnseg.SemanticDataset: index PNGs, class lists, and each bad input."""

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmseg.datasets import BaseSegDataset
from PIL import Image

from attnseg.datasets import SemanticDataset, checks

from .conftest import write_image

LOAD = [
    {"type": "LoadImageFromFile"},
    {"type": "mmseg.LoadAnnotations"},
    {"type": "attnseg.CheckSample"},
    {"type": "mmseg.PackSegInputs", "meta_keys": ("img_id", "ori_shape", "img_path")},
]


@pytest.fixture
def folder(tmp_path):
    """Two images of 20x30 with labels 0 and 1 and a void row."""
    for name in ("a", "b"):
        write_image(tmp_path / "images" / f"{name}.png")
        labels = np.zeros((20, 30), np.uint8)
        labels[:, 15:], labels[0] = 1, 255
        (tmp_path / "labels").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "labels" / f"{name}.png"), labels)
    return tmp_path


def build(root, **kwargs):
    settings = {
        "metainfo": {"classes": ("sky", "road")},
        "img_suffix": ".png",
        "data_prefix": {"img_path": "images", "seg_map_path": "labels"},
        "pipeline": LOAD,
        **kwargs,
    }
    return SemanticDataset(data_root=str(root), **settings)


def test_labels_void_and_ids(folder):
    dataset = build(folder)
    assert isinstance(dataset, BaseSegDataset)
    sample = dataset[1]["data_samples"]
    assert sample.img_id == "b"
    assert sample.gt_sem_seg.data.unique().tolist() == [0, 1, 255]
    assert len(dataset.metainfo["palette"]) == 2
    assert type(dataset.pipeline.transforms[0]).__name__ == "LoadImage"


def test_classes_from_the_list_of_the_folder(folder):
    (folder / "classes.txt").write_text("sky\nroad\n# void=255\n")
    assert build(folder, metainfo=None).metainfo["classes"] == ("sky", "road")


def test_no_classes_says_where_to_put_them(folder):
    with pytest.raises(ValueError, match=r"no classes: .*classes\.txt"):
        build(folder, metainfo=None)


def test_classes_as_a_string_are_one_class(folder):
    meta = build(folder, metainfo={"classes": "water"}).metainfo
    assert meta["classes"] == ("water",)
    assert len(meta["palette"]) == 1


def test_classes_of_a_published_data_set(folder):
    meta = build(folder, metainfo=None, metainfo_of="ADE20KDataset").metainfo
    assert len(meta["classes"]) == len(meta["palette"]) == 150
    assert meta["classes"][7] == "bed"
    with pytest.raises(ValueError, match="'NoSuchDataset' is not a data set of mmseg"):
        build(folder, metainfo_of="NoSuchDataset")


def test_palette_of_another_length_is_refused(folder):
    with pytest.raises(ValueError, match="1 colours for 2 classes"):
        build(folder, metainfo={"classes": ("sky", "road"), "palette": [(0, 0, 0)]})


@pytest.mark.parametrize("key", ["img_path", "seg_map_path"])
def test_missing_folder_names_its_key(folder, key):
    prefix = {"img_path": "images", "seg_map_path": "labels", key: "elsewhere"}
    with pytest.raises(FileNotFoundError, match=rf"elsewhere.*config key data_prefix\.{key}"):
        build(folder, data_prefix=prefix)


def test_missing_list_of_images_names_its_key(folder):
    with pytest.raises(FileNotFoundError, match="config key ann_file"):
        build(folder, ann_file="train.txt")


def test_no_image_of_the_suffix_says_which_there_are(folder):
    with pytest.raises(ValueError) as caught:
        build(folder, img_suffix=".jpg")
    for part in ("0 of 0 images", "'.jpg'", "2 x .png", "img_suffix"):
        assert part in str(caught.value)


def test_label_outside_the_classes_names_file_values_and_number(folder):
    cv2.imwrite(str(folder / "labels" / "a.png"), np.full((20, 30), 7, np.uint8))
    with pytest.raises(ValueError) as caught:
        build(folder)[0]
    for part in ("a.png", "labels 7", "0..1", "num_classes=2"):
        assert part in str(caught.value)


def test_map_of_another_size_names_both_files_and_sizes(folder):
    cv2.imwrite(str(folder / "labels" / "a.png"), np.zeros((30, 20), np.uint8))
    with pytest.raises(ValueError) as caught:
        build(folder)[0]
    for part in ("images/a.png", "20x30", "labels/a.png", "30x20"):
        assert part in str(caught.value)


def test_missing_map_is_named(folder):
    (folder / "labels" / "a.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"labels/a\.png.*seg_map_suffix"):
        build(folder)[0]


def test_colour_picture_for_labels_is_refused(folder):
    cv2.imwrite(str(folder / "labels" / "a.png"), np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(ValueError, match=r"labels/a\.png' has 3 channels: expected an index PNG"):
        build(folder)[0]


def test_16_bit_labels_are_not_truncated_in_silence(folder):
    # 257 becomes label 1 in mmseg's loader.
    cv2.imwrite(str(folder / "labels" / "a.png"), np.full((20, 30), 257, np.uint16))
    with pytest.raises(ValueError, match=r"labels/a\.png' is 16-bit with labels up to 257"):
        build(folder)[0]


def write_maps(folder, *rows):
    """Write as many images as rows, and maps whose columns have the labels of a row."""
    for i, row in enumerate(rows):
        write_image(folder / "images" / f"{i:03}.png")
        (folder / "labels").mkdir(exist_ok=True)
        labels = np.repeat(np.uint8([row]), 30 // len(row), axis=1).repeat(20, axis=0)
        cv2.imwrite(str(folder / "labels" / f"{i:03}.png"), labels)


@pytest.mark.parametrize("test_mode", [False, True])
def test_masks_of_0_and_255_are_refused(tmp_path, test_mode):
    write_maps(tmp_path, [0, 0], [0, 255], [255, 255])
    with pytest.raises(ValueError) as caught:
        build(tmp_path, test_mode=test_mode)
    text = str(caught.value)
    for part in ("labels/001.png'", "0 and 255", "not judged", "label 1 ('road')", "> 127"):
        assert part in text
    assert "\n" not in text
    lazy = build(tmp_path, lazy_init=True)
    with pytest.raises(ValueError, match="not judged"):
        lazy.full_init()


@pytest.mark.parametrize(
    "rows",
    [
        ([0, 255], [0, 1]),
        ([0, 0], [0, 0]),
        ([255, 255],),
        ([0, 1, 255],),
        ([0, 7], [0, 255]),
    ],
)
def test_other_maps_of_two_classes_pass(tmp_path, rows):
    write_maps(tmp_path, *rows)
    assert len(build(tmp_path)) == len(rows)


def test_maps_are_looked_at_for_two_classes_and_only_the_first(tmp_path, monkeypatch):
    assert checks._MAPS == 50
    monkeypatch.setattr(checks, "_MAPS", 3)
    write_maps(tmp_path, *[[0, 0]] * 3, [0, 255])
    assert len(build(tmp_path, serialize_data=False)) == 4
    write_maps(tmp_path, [0, 255])
    with pytest.raises(ValueError, match=r"the 3 maps that were looked at"):
        build(tmp_path, serialize_data=False)
    opened = []
    monkeypatch.setattr(checks.Image, "open", lambda path: opened.append(path))
    for other in (
        {"metainfo": {"classes": ("a", "b", "c")}},
        {"metainfo": {"classes": "a"}},
        {"reduce_zero_label": True},
        {"ignore_index": 254},
        {"data_prefix": {"img_path": "images", "seg_map_path": None}},
    ):
        assert len(build(tmp_path, serialize_data=False, **other)) == 4
    assert not opened


def test_maps_that_cannot_be_read_are_left_to_the_check_of_samples(tmp_path):
    write_maps(tmp_path, [0, 255], [0, 255], [0, 255])
    (tmp_path / "labels/000.png").write_bytes(b"no image")
    (tmp_path / "labels/001.png").unlink()
    cv2.imwrite(str(tmp_path / "labels/002.png"), np.full((20, 30, 3), 255, np.uint8))
    assert len(build(tmp_path)) == 3


def test_one_bit_maps_hold_labels_0_and_1(tmp_path):
    write_maps(tmp_path, [0, 255])
    path = tmp_path / "labels/000.png"
    Image.open(path).convert("1").save(path)
    assert build(tmp_path)[0]["data_samples"].gt_sem_seg.data.unique().tolist() == [0, 1]


def test_zero_as_void(folder):
    labels = build(folder, reduce_zero_label=True)[0]["data_samples"].gt_sem_seg.data
    assert labels.unique().tolist() == [0, 255]


def test_fraction_of_real_frames(data_root, demo_set):
    if data_root is None:
        settings = {"data_root": str(demo_set), "img_suffix": ".png"}
        prefix, count = {"img_path": "images/train", "seg_map_path": "semantic/train"}, 8
    else:
        settings = {"data_root": str(data_root / "camvid11")}
        prefix, count = {"img_path": "images/train", "seg_map_path": "annotations/train"}, 367
    dataset = SemanticDataset(data_prefix=prefix, fraction=0.25, pipeline=LOAD, **settings)
    assert len(dataset) == round(count / 4)
    with DefaultScope.overwrite_default_scope("mmseg"):
        sample = dataset[0]
    assert sample["inputs"].shape[0] == 3
    assert sample["data_samples"].gt_sem_seg.data.shape[1:] == sample["inputs"].shape[1:]
