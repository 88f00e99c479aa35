"""Converters, against counts made in another way and against published files."""

import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from attnseg.compat import rgb2id
from attnseg.datasets import CocoPanopticDataset
from attnseg.datasets.converters.ade20k import convert_ade20k
from attnseg.datasets.converters.cityscapes import convert_cityscapes, segments_of
from attnseg.datasets.converters.panoptic_from_instances import (
    paint_instances,
    panoptic_from_instances,
)

from .conftest import write_image
from .objects import box_object

# trainId by labelId, written down from the published table of Cityscapes.
TRAIN_ID = dict(
    zip(
        [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33],
        range(19),
        strict=True,
    )
)


@pytest.fixture
def cityscapes_folder(tmp_path):
    """One frame: road, two cars, a group of persons, sky, a caravan and ego vehicle (void)."""
    root = tmp_path / "cityscapes"
    ids = np.full((12, 20), 7, np.uint16)
    ids[:4], ids[5:8, 2:6], ids[5:8, 6:9], ids[5:9, 10:14] = 23, 26000, 26001, 24
    ids[9:11, 0:3], ids[11] = 29003, 1
    write_image(root / "leftImg8bit/train/aachen/aachen_0_0_leftImg8bit.png", (12, 20))
    folder = root / "gtFine/train/aachen"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "aachen_0_0_gtFine_instanceIds.png"), ids)
    return root


def check_against_files(root, out, split):
    """Compare a converted split with labelIds and instanceIds, read by PIL."""
    panoptic = json.loads((out / f"annotations/panoptic_{split}.json").read_text())
    instances = COCO(str(out / f"annotations/instances_{split}.json"))
    assert [c["name"] for c in panoptic["categories"] if c["isthing"]] == [
        "person",
        "rider",
        "car",
        "truck",
        "bus",
        "train",
        "motorcycle",
        "bicycle",
    ]
    assert len(panoptic["images"]) == len(list((root / "leftImg8bit" / split).rglob("*.png")))
    for image, annotation in zip(panoptic["images"], panoptic["annotations"], strict=True):
        stem = image["file_name"].replace("_leftImg8bit.png", "")
        ids = np.array(Image.open(root / f"gtFine/{split}/{stem}_gtFine_instanceIds.png"))
        png = out / f"annotations/panoptic_{split}" / annotation["file_name"]
        found = rgb2id(np.array(Image.open(png)))
        expected, crowds = {}, 0
        for value, count in zip(*np.unique(ids, return_counts=True), strict=True):
            label_id = int(value) // 1000 if value >= 1000 else int(value)
            if label_id in TRAIN_ID:
                expected[int(value)] = (TRAIN_ID[label_id], int(count))
                crowds += 24 <= value < 1000
        segments = {s["id"]: (s["category_id"], s["area"]) for s in annotation["segments_info"]}
        assert segments == expected
        assert sum(s["iscrowd"] for s in annotation["segments_info"]) == crowds
        np.testing.assert_array_equal(found, np.where(np.isin(ids, list(expected)), ids, 0))
        objects = instances.imgToAnns[image["id"]]
        things = [s for s in annotation["segments_info"] if s["category_id"] >= 11]
        assert [o["category_id"] for o in objects] == [s["category_id"] for s in things]
        for annotated, segment in zip(objects, things, strict=True):
            np.testing.assert_array_equal(instances.annToMask(annotated), ids == segment["id"])
    check_street_scenes(out, split)
    return panoptic


def check_street_scenes(out, split):
    """The five classes are those objects of the eight, under the paper's names."""
    instances = json.loads((out / f"annotations/instances_{split}.json").read_text())
    street = json.loads((out / f"annotations/street_{split}.json").read_text())
    names = ["car", "pedestrian", "truck", "bus", "rider"]
    assert [c["name"] for c in street["categories"]] == names
    assert street["images"] == instances["images"]
    train_ids = {
        TRAIN_ID[label]: name for label, name in zip((26, 24, 27, 28, 25), names, strict=True)
    }
    wanted = {a["id"]: a for a in instances["annotations"] if a["category_id"] in train_ids}
    assert [a["id"] for a in street["annotations"]] == list(wanted)
    for found in street["annotations"]:
        category = wanted[found["id"]]["category_id"]
        assert names[found["category_id"] - 1] == train_ids[category]
        assert {**found, "category_id": category} == wanted[found["id"]]


def test_cityscapes_groups_are_crowds_and_other_labels_void(cityscapes_folder):
    files = convert_cityscapes(cityscapes_folder)
    names = [path.name for path in files]
    assert names == ["panoptic_train.json", "instances_train.json", "street_train.json"]
    panoptic = check_against_files(cityscapes_folder, cityscapes_folder, "train")
    segments = {s["id"]: s for s in panoptic["annotations"][0]["segments_info"]}
    assert set(segments) == {7, 23, 24, 26000, 26001}
    assert {i for i, s in segments.items() if s["iscrowd"]} == {24}
    assert segments[26000]["bbox"] == [2, 5, 4, 3]


def test_cityscapes_labels_are_things_first(cityscapes_folder):
    convert_cityscapes(cityscapes_folder)
    dataset = CocoPanopticDataset(
        data_root=str(cityscapes_folder),
        ann_file="annotations/panoptic_train.json",
        data_prefix={"img": "leftImg8bit/train", "seg": "annotations/panoptic_train"},
        pipeline=[
            {"type": "attnseg.LoadImage"},
            {"type": "LoadPanopticAnnotations"},
            {"type": "attnseg.CheckSample"},
            {"type": "PackDetInputs"},
        ],
    )
    assert dataset.metainfo["classes"][:9:8] == ("person", "road")
    sample = dataset[0]["data_samples"]
    assert sample.gt_instances.labels.tolist() == [2, 2]
    assert sample.gt_sem_seg.sem_seg.unique().tolist() == [0, 2, 8, 18, 255]


def test_real_files_of_the_format(data_root, cityscapes_folder, tmp_path):
    roots = [cityscapes_folder]
    if data_root is not None:
        roots = [data_root / "camvid_cityscapes_format", data_root / "cityscapes_pseudo1"]
    for root in roots:
        out = tmp_path / "out" / root.name
        written = convert_cityscapes(root, out)
        for split in {path.stem.rsplit("_", 1)[1] for path in written}:
            check_against_files(root, out, split)


def test_train_ids_agree_with_the_published_files(data_root, cityscapes_folder, tmp_path):
    """Of Cityscapes' own form; on the generated frame, by the published table."""
    sources = [cityscapes_folder]
    if data_root is not None:
        sources = [data_root / "camvid_cityscapes_format", data_root / "cityscapes_pseudo1"]
    for source in sources:
        root = tmp_path / "copy" / source.name
        shutil.copytree(source, root)
        for path in root.rglob("*_gtFine_labelTrainIds.png"):
            path.unlink()
        convert_cityscapes(root)
        ids = sorted(root.rglob("*_gtFine_instanceIds.png"))
        for path in ids:
            name = path.name.replace("instanceIds", "labelTrainIds")
            found = np.array(Image.open(path.with_name(name)))
            published = source / path.relative_to(root).with_name(name)
            if data_root is None:
                values = np.array(Image.open(path))
                values = np.where(values >= 1000, values // 1000, values)
                expected = np.vectorize(lambda value: TRAIN_ID.get(value, 255))(values)
            else:
                expected = np.array(Image.open(published))
            assert found.dtype == np.uint8
            # The shrunk frame contradicts itself: its labelId 7 is trainId 0, and in single pixels
            # 1, 5, 13 and 255, so that no table gives all of its labelTrainIds.
            differing = (found != expected).sum()
            assert differing <= (77 if source.name == "cityscapes_pseudo1" else 0)
        assert len(list(root.rglob("*_labelTrainIds.png"))) == len(ids)


def test_train_ids_come_from_label_ids_and_are_never_overwritten(cityscapes_folder, tmp_path):
    folder = cityscapes_folder / "gtFine/train/aachen"
    labels = np.full((12, 20), 26, np.uint8)
    cv2.imwrite(str(folder / "aachen_0_0_gtFine_labelIds.png"), labels)
    convert_cityscapes(cityscapes_folder, tmp_path / "out")
    target = folder / "aachen_0_0_gtFine_labelTrainIds.png"
    made = tmp_path / "out" / target.relative_to(cityscapes_folder)
    assert (np.array(Image.open(made)) == 13).all() and not target.exists()
    target.write_bytes(b"mine")
    convert_cityscapes(cityscapes_folder)
    assert target.read_bytes() == b"mine"
    target.unlink()
    cv2.imwrite(str(folder / "aachen_0_0_gtFine_labelIds.png"), labels[:5])
    with pytest.raises(ValueError, match=r"labelIds\.png' 5x20"):
        convert_cityscapes(cityscapes_folder)


def test_segments_of_an_empty_map():
    clean, segments = segments_of(np.zeros((4, 5), np.uint16))
    assert not clean.any() and segments == []


def test_cityscapes_names_what_is_missing(cityscapes_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="gtFine.*has no folder train or val"):
        convert_cityscapes(tmp_path / "none")
    ids = next((cityscapes_folder / "gtFine").rglob("*.png"))
    data = ids.read_bytes()
    ids.write_bytes(data[:50])
    with pytest.raises(ValueError, match=r"instanceIds\.png' cannot be decoded"):
        convert_cityscapes(cityscapes_folder)
    cv2.imwrite(str(ids), np.zeros((20, 12), np.uint16))
    with pytest.raises(ValueError, match=r"is 12x20 .*20x12"):
        convert_cityscapes(cityscapes_folder)
    ids.unlink()
    with pytest.raises(FileNotFoundError, match="the annotation of image"):
        convert_cityscapes(cityscapes_folder)
    next((cityscapes_folder / "leftImg8bit").rglob("*.png")).unlink()
    with pytest.raises(FileNotFoundError, match="unpack leftImg8bit"):
        convert_cityscapes(cityscapes_folder)
    assert not (cityscapes_folder / "annotations").exists()


def test_ade20k_converts_by_mmdet(tmp_path):
    """A tiny ADE20K: wall (stuff, 1) and two beds (thing, 8) in the published index."""
    for split in ("training", "validation"):
        for folder in ("images", "annotations", "annotations_instance"):
            (tmp_path / folder / split).mkdir(parents=True)
        semantic = np.ones((8, 10), np.uint8)
        semantic[4:, :4], semantic[4:, 6:], semantic[0] = 8, 8, 0
        instance = np.zeros((8, 10, 3), np.uint8)
        instance[4:, :4, 0], instance[4:, 6:, 0] = 1, 1
        instance[4:, :4, 1], instance[4:, 6:, 1] = 1, 2
        Image.fromarray(instance).save(tmp_path / "annotations_instance" / split / "a.png")
        Image.fromarray(semantic).save(tmp_path / "annotations" / split / "a.png")
        Image.fromarray(instance).save(tmp_path / "images" / split / "a.jpg")
    convert_ade20k(tmp_path)
    dataset = CocoPanopticDataset(
        data_root=str(tmp_path),
        ann_file="ade20k_panoptic_val.json",
        data_prefix={"img": "images/validation", "seg": "ade20k_panoptic_val"},
        pipeline=[
            {"type": "attnseg.LoadImage"},
            {"type": "LoadPanopticAnnotations"},
            {"type": "attnseg.CheckSample"},
            {"type": "PackDetInputs"},
        ],
    )
    assert len(dataset.metainfo["thing_classes"]) == 100
    assert len(dataset.metainfo["stuff_classes"]) == 50
    classes = dataset.metainfo["classes"]
    sample = dataset[0]["data_samples"]
    assert [classes[i] for i in sample.gt_instances.labels] == ["bed", "bed"]
    assert sample.gt_instances.masks.areas.tolist() == [16, 16]
    # mmdet's converter alone puts both boxes elsewhere, one of them with a negative width.
    assert sample.gt_instances.bboxes.tensor.tolist() == [[0, 4, 4, 8], [6, 4, 10, 8]]
    labels = sample.gt_sem_seg.sem_seg[0].numpy()
    assert classes[labels[2, 2]] == "wall" and (labels[0] == 255).all()


def test_ade20k_names_what_is_missing(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(FileNotFoundError, match="lacks annotations, annotations_instance"):
        convert_ade20k(tmp_path)
    with pytest.raises(ValueError, match="task must be one of"):
        convert_ade20k(tmp_path, "semantic")


def test_overlaps_show_the_smaller_and_crowds_lie_below():
    objects = [
        box_object(1, 1, 1, [0, 0, 4, 4]),
        box_object(2, 1, 1, [0, 0, 10, 10]),
        {**box_object(3, 1, 1, [0, 0, 2, 2]), "iscrowd": 1},
    ]
    ids, seen = paint_instances(objects, (10, 10))
    assert seen == [0, 1]
    assert (ids[:4, :4] == 1).all() and (ids == 2).sum() == 84


def test_panoptic_of_published_instances(data_root, demo_set, tmp_path):
    root = demo_set if data_root is None else data_root / "dsb2018"
    source = root / "annotations/instances_val.json"
    panoptic_from_instances(source, tmp_path / "p.json", tmp_path / "png")
    made = json.loads((tmp_path / "p.json").read_text())
    published = json.loads((root / "annotations/panoptic_val.json").read_text())
    things = {c["id"] for c in published["categories"] if c["isthing"]}
    theirs = {a["image_id"]: a for a in published["annotations"]}
    assert [c["isthing"] for c in made["categories"]] == [1] * len(things) + [0]
    for annotation in made["annotations"][:6]:
        ours = rgb2id(np.array(Image.open(tmp_path / "png" / annotation["file_name"])))
        other = theirs[annotation["image_id"]]
        ids = rgb2id(np.array(Image.open(root / "panoptic/val" / other["file_name"])))
        areas = sorted(s["area"] for s in other["segments_info"] if s["category_id"] in things)
        assert sorted(s["area"] for s in annotation["segments_info"][:-1]) == areas
        # The partitions are the same: pairs of ids match one to one.
        listed = [s["id"] for s in other["segments_info"] if s["category_id"] in things]
        kept = np.where(np.isin(ids, listed), ids, 0)
        pairs = np.unique(np.stack([ours.ravel(), kept.ravel()]), axis=1)
        assert pairs.shape[1] == len(annotation["segments_info"])


def test_panoptic_from_instances_names_the_trouble(coco_folder, tmp_path):
    source = coco_folder() / "annotations.json"
    with pytest.raises(ValueError, match="has a category 'cell' already"):
        panoptic_from_instances(source, tmp_path / "p.json", tmp_path / "png", "cell")
    source = coco_folder(
        lambda content: content["annotations"][0].update(
            segmentation={"size": [30, 20], "counts": [600]}
        )
    )
    with pytest.raises(ValueError, match=r"image 'a.png' is 20x30 .*annotation 1 \(30, 20\)"):
        panoptic_from_instances(source / "annotations.json", tmp_path / "p.json", tmp_path / "png")
