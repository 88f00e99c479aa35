"""attnseg.CocoInstanceDataset: numbering, fractions, and each bad input."""

import json

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from pycocotools.coco import COCO

from attnseg.datasets import CocoInstanceDataset

LOAD = [
    {"type": "attnseg.LoadImage"},
    {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True},
    {"type": "attnseg.CheckSample"},
    {"type": "PackDetInputs"},
]


def build(root, **kwargs):
    settings = {"ann_file": "annotations.json", "data_prefix": {"img": "images"}, **kwargs}
    return CocoInstanceDataset(data_root=str(root), **settings)


def labels_of(dataset):
    return [part["bbox_label"] for part in dataset.get_data_info(0)["instances"]]


def test_classes_come_from_the_file_by_category_id(coco_folder):
    dataset = build(coco_folder())
    assert isinstance(dataset, CocoDataset)
    assert dataset.metainfo["classes"] == ("debris", "cell")
    assert labels_of(dataset) == [1, 0]
    assert len(dataset.metainfo["palette"]) == 2


def test_labels_follow_the_order_of_the_wanted_classes(coco_folder):
    dataset = build(coco_folder(), metainfo={"classes": ("cell", "debris")})
    assert labels_of(dataset) == [0, 1]


def test_classes_as_a_string_select_one_class(coco_folder):
    dataset = build(coco_folder(), metainfo={"classes": "cell"})
    assert dataset.metainfo["classes"] == ("cell",)
    assert labels_of(dataset) == [0]
    assert len(dataset.metainfo["palette"]) == 1


def test_given_palette_keeps_its_classes(coco_folder):
    meta = {"classes": ("cell", "debris"), "palette": [(1, 1, 1), (2, 2, 2)]}
    assert build(coco_folder(), metainfo=meta).metainfo["palette"] == [(1, 1, 1), (2, 2, 2)]
    with pytest.raises(ValueError, match="1 colours for 2 classes"):
        build(coco_folder(), metainfo={**meta, "palette": [(1, 1, 1)]})


def test_classes_that_match_nothing_name_file_and_its_names(coco_folder):
    root = coco_folder()
    with pytest.raises(ValueError) as caught:
        build(root, metainfo={"classes": ("cell", "nucleus")})
    for part in ("nucleus", str(root / "annotations.json"), "debris", "metainfo.classes"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"data_root": "/nowhere/data"}, "data_root"),
        ({"ann_file": "missing.json"}, "ann_file"),
        ({"data_prefix": {"img": "pictures"}}, "data_prefix.img"),
    ],
)
def test_missing_folder_or_file_names_path_key_and_fix(coco_folder, change, key):
    settings = {
        "data_root": str(coco_folder()),
        "ann_file": "annotations.json",
        "data_prefix": {"img": "images"},
        **change,
    }
    with pytest.raises(FileNotFoundError) as caught:
        CocoInstanceDataset(**settings)
    value = next(iter(change.values()))
    path = value["img"] if isinstance(value, dict) else value
    assert path in str(caught.value)
    assert f"config key {key}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "has no images and no categories"),
        ('{"images": [{"id": 1}], "categories": []}', "has no categories"),
    ],
)
def test_a_file_that_is_no_coco_json_is_named(coco_folder, text, message):
    root = coco_folder()
    (root / "annotations.json").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        build(root)
    assert "annotations.json" in str(caught.value)


def test_panoptic_file_for_instances_is_refused(panoptic_folder):
    with pytest.raises(ValueError, match="is of the panoptic form"):
        build(panoptic_folder(), ann_file="panoptic.json")


def test_category_outside_the_file_is_named(coco_folder):
    root = coco_folder(lambda content: content["annotations"][0].update(category_id=99))
    with pytest.raises(ValueError, match=r"category_id \[99\].*ids \[3, 5\]"):
        build(root)


def test_annotation_of_an_unlisted_image_is_named(coco_folder):
    root = coco_folder(lambda content: content["annotations"][0].update(image_id=1000))
    with pytest.raises(ValueError, match=r"image_id \[1000\]"):
        build(root)


def test_two_categories_of_one_name_are_refused(coco_folder):
    root = coco_folder(lambda content: content["categories"][0].update(name="debris"))
    with pytest.raises(ValueError, match=r"several categories are named \['debris'\]"):
        build(root)


def test_nothing_left_says_how_many_and_why(coco_folder):
    root = coco_folder(lambda content: content["annotations"].clear())
    with pytest.raises(ValueError) as caught:
        build(root, filter_cfg={"filter_empty_gt": True, "min_size": 25})
    for part in ("0 of 2 images", "2 have no object", "filter_empty_gt", "2 have a side under"):
        assert part in str(caught.value)


def test_images_without_objects_stay_unless_filtered(coco_folder):
    root = coco_folder()
    assert len(build(root)) == 2
    assert len(build(root, filter_cfg={"filter_empty_gt": True})) == 1
    assert len(build(root, filter_cfg={"filter_empty_gt": True}, test_mode=True)) == 2


def test_an_image_without_objects_is_a_correct_sample(coco_folder):
    sample = build(coco_folder(), pipeline=LOAD)[1]["data_samples"]
    assert len(sample.gt_instances) == 0
    assert sample.gt_instances.masks.masks.shape == (0, 20, 30)


def test_lazy_data_set_with_classes_reads_nothing(tmp_path):
    dataset = build(tmp_path / "none", metainfo={"classes": ("cell",)}, lazy_init=True)
    assert dataset.metainfo["classes"] == ("cell",)
    with pytest.raises(FileNotFoundError, match="data_root"):
        dataset.full_init()


def test_lazy_data_set_without_classes_or_files_waits(tmp_path, coco_folder):
    assert "classes" not in build(tmp_path / "none", lazy_init=True).metainfo
    assert build(coco_folder(), lazy_init=True).metainfo["classes"] == ("debris", "cell")


def test_lazy_data_set_equals_the_eager_one(coco_folder):
    root = coco_folder()
    meta = {"classes": ("cell", "debris")}
    lazy = build(root, metainfo=meta, lazy_init=True)
    lazy.full_init()
    assert lazy.get_data_info(0) == build(root, metainfo=meta).get_data_info(0)


def test_fraction_is_a_seeded_part(demo_set):
    def ids(**kwargs):
        dataset = CocoInstanceDataset(
            data_root=str(demo_set),
            ann_file="annotations/instances_train.json",
            data_prefix={"img": "images/train"},
            **kwargs,
        )
        return [dataset.get_data_info(i)["img_id"] for i in range(len(dataset))]

    assert len(ids(fraction=0.25)) == 2
    assert set(ids(fraction=0.25, fraction_seed=3)) < set(ids(fraction=0.75, fraction_seed=3))
    assert ids() == list(range(1, 9))


def test_masks_agree_with_pycocotools(demo_set, data_root):
    root = demo_set if data_root is None else data_root / "dsb2018"
    dataset = CocoInstanceDataset(
        data_root=str(root),
        ann_file="annotations/instances_val.json",
        data_prefix={"img": "images/val"},
        pipeline=LOAD,
    )
    reference = COCO(str(root / "annotations/instances_val.json"))
    for index in range(4):
        sample = dataset[index]["data_samples"]
        expected = [reference.annToMask(a) for a in reference.imgToAnns[sample.img_id]]
        np.testing.assert_array_equal(sample.gt_instances.masks.masks, np.stack(expected))


def test_coco_mini_keeps_the_80_classes_and_crowds(data_root, demo_set):
    root = demo_set if data_root is None else data_root / "coco_mini"
    ann_file = "annotations/" + ("instances_val2017.json" if data_root else "instances_val.json")
    dataset = CocoInstanceDataset(
        data_root=str(root),
        ann_file=ann_file,
        data_prefix={"img": "val2017" if data_root else "images/val"},
    )
    content = json.loads((root / ann_file).read_text())
    assert dataset.metainfo["classes"] == tuple(c["name"] for c in content["categories"])
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    crowds = sum(part["ignore_flag"] for info in infos for part in info["instances"])
    assert crowds == sum(a["iscrowd"] for a in content["annotations"])


def test_a_set_without_any_object_warns(coco_folder, monkeypatch):
    said = []
    monkeypatch.setattr("attnseg.datasets.mixin.print_log", lambda text, *_: said.append(text))
    build(coco_folder())
    assert not said
    build(coco_folder(lambda content: content["annotations"].clear()))
    assert len(said) == 1 and said[0].startswith("none of the 2 images of")
