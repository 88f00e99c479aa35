"""attnseg.CocoPanopticDataset and its semantic view: numbering, segments, bad input."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from mmdet.datasets import CocoPanopticDataset as MMDetPanoptic

from attnseg.coco_files import read_segment_ids
from attnseg.compat import id2rgb, rgb2id
from attnseg.datasets import CocoPanopticDataset, CocoPanopticSemanticDataset
from attnseg.datasets.panoptic_png import label_map, measure

LOAD = [
    {"type": "LoadImageFromFile"},
    {"type": "LoadPanopticAnnotations"},
    {"type": "attnseg.CheckSample"},
    {"type": "PackDetInputs"},
]
AS_SEMANTIC = [
    {"type": "LoadImageFromFile"},
    {"type": "attnseg.LoadPanopticAsSemantic"},
    {"type": "attnseg.CheckSample"},
    {"type": "mmseg.PackSegInputs", "meta_keys": ("img_id", "ori_shape")},
]
# Things cat (11), car (40) by category id, then stuff road (1), sky (2).
CAT, CAR, SKY, VOID = 0, 1, 3, 255


def build(root, **kwargs):
    prefix = {"img": "images", "seg": "seg"}
    settings = {"ann_file": "panoptic.json", "data_prefix": prefix, **kwargs}
    return CocoPanopticDataset(data_root=str(root), **settings)


def expected_map():
    labels = np.full((16, 32), VOID)
    labels[:, :8], labels[:, 8:16], labels[:, 16:24], labels[8:, 24:] = CAR, SKY, CAT, CAT
    return labels


def test_things_come_first_whatever_the_order_of_the_file(panoptic_folder):
    dataset = build(panoptic_folder())
    assert isinstance(dataset, MMDetPanoptic)
    meta = dataset.metainfo
    assert meta["classes"] == ("cat", "car", "road", "sky")
    assert meta["thing_classes"] == ("cat", "car")
    assert meta["stuff_classes"] == ("road", "sky")
    assert len(meta["palette"]) == 4


def test_wanted_classes_keep_their_order_but_things_first(panoptic_folder):
    meta = {"classes": ("sky", "car", "cat"), "palette": [(1, 1, 1), (2, 2, 2), (3, 3, 3)]}
    dataset = build(panoptic_folder(), metainfo=meta)
    assert dataset.metainfo["classes"] == ("car", "cat", "sky")
    assert dataset.metainfo["palette"] == [(2, 2, 2), (3, 3, 3), (1, 1, 1)]
    assert {s["id"]: s["category"] for s in dataset.get_data_info(0)["segments_info"]} == {
        70000: 2,
        300: 0,
        5: 1,
        9: 1,
    }


def test_segments_of_other_classes_become_void(panoptic_folder):
    sample = build(panoptic_folder(), metainfo={"classes": ("car",)}, pipeline=LOAD)[0]
    labels = sample["data_samples"].gt_sem_seg.sem_seg[0].numpy()
    np.testing.assert_array_equal(labels, np.where(expected_map() == CAR, 0, VOID))


def test_sample_holds_things_without_crowds_and_the_label_map(panoptic_folder):
    sample = build(panoptic_folder(), pipeline=LOAD)[0]["data_samples"]
    np.testing.assert_array_equal(sample.gt_sem_seg.sem_seg[0].numpy(), expected_map())
    assert sample.gt_instances.labels.tolist() == [CAR, CAT]
    masks = sample.gt_instances.masks.masks
    assert [np.flatnonzero(mask.any(0))[[0, -1]].tolist() for mask in masks] == [[0, 7], [16, 23]]


def test_semantic_view_has_the_same_labels(panoptic_folder):
    dataset = CocoPanopticSemanticDataset(
        data_root=str(panoptic_folder()),
        ann_file="panoptic.json",
        data_prefix={"img_path": "images", "seg_map_path": "seg"},
        pipeline=AS_SEMANTIC,
    )
    assert dataset.metainfo["classes"] == ("cat", "car", "road", "sky")
    assert len(dataset.metainfo["palette"]) == 4
    sample = dataset[0]["data_samples"]
    np.testing.assert_array_equal(sample.gt_sem_seg.data[0].numpy(), expected_map())
    assert sample.img_id == 1


def test_semantic_view_names_what_is_missing(panoptic_folder):
    root = panoptic_folder()
    settings = {"data_root": str(root), "ann_file": "panoptic.json"}
    with pytest.raises(FileNotFoundError, match=r"data_prefix\.seg_map_path"):
        CocoPanopticSemanticDataset(
            data_prefix={"img_path": "images", "seg_map_path": "pngs"}, **settings
        )
    with pytest.raises(ValueError, match="match nothing"):
        CocoPanopticSemanticDataset(
            data_prefix={"img_path": "images", "seg_map_path": "seg"},
            metainfo={"classes": "dog"},
            **settings,
        )


def test_lazy_semantic_view_reads_nothing_until_asked(panoptic_folder, tmp_path):
    settings = {
        "ann_file": "panoptic.json",
        "data_prefix": {"img_path": "images", "seg_map_path": "seg"},
        "lazy_init": True,
    }
    none = CocoPanopticSemanticDataset(data_root=str(tmp_path / "none"), **settings)
    with pytest.raises(FileNotFoundError, match="data_root"):
        none.full_init()
    late = CocoPanopticSemanticDataset(data_root=str(tmp_path), pipeline=AS_SEMANTIC, **settings)
    panoptic_folder()
    late.full_init()
    assert late.metainfo["classes"] == ("cat", "car", "road", "sky")
    assert len(late.metainfo["palette"]) == 4
    labels = late[0]["data_samples"].gt_sem_seg.data[0].numpy()
    np.testing.assert_array_equal(labels, expected_map())
    (tmp_path / "seg" / "a_panoptic.png").unlink()
    (tmp_path / "seg").rmdir()
    lazy = CocoPanopticSemanticDataset(data_root=str(tmp_path), **settings)
    with pytest.raises(FileNotFoundError, match=r"data_prefix\.seg_map_path"):
        lazy.full_init()


def test_instances_file_for_panoptic_is_refused(coco_folder):
    with pytest.raises(ValueError, match="is of the instances form"):
        build(coco_folder(), ann_file="annotations.json", data_prefix={"img": "images"})


def test_categories_without_isthing_are_named(panoptic_folder):
    root = panoptic_folder(lambda content: content["categories"][1].pop("isthing"))
    with pytest.raises(ValueError, match=r"\['sky'\] do not say 'isthing'"):
        build(root)


def test_missing_png_is_named(panoptic_folder):
    root = panoptic_folder()
    (root / "seg" / "a_panoptic.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"a_panoptic\.png.*does not exist"):
        build(root, pipeline=LOAD)[0]


def test_png_of_another_size_names_both_files_and_sizes(panoptic_folder):
    root = panoptic_folder()
    # The transposed size has the right number of pixels: mmdet's loader would reshape it.
    cv2.imwrite(str(root / "seg" / "a_panoptic.png"), np.zeros((32, 16, 3), np.uint8))
    with pytest.raises(ValueError) as caught:
        build(root, pipeline=LOAD)[0]
    for part in ("a.tif", "16x32", "a_panoptic.png", "32x16"):
        assert part in str(caught.value)


def test_damaged_png_is_named(panoptic_folder):
    root = panoptic_folder()
    png = root / "seg" / "a_panoptic.png"
    png.write_bytes(png.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"a_panoptic\.png' cannot be decoded"):
        build(root, pipeline=LOAD)[0]
    with pytest.raises(ValueError, match=r"a_panoptic\.png' cannot be decoded"):
        read_segment_ids(str(png))


def test_fraction_of_panoptic_images(demo_set):
    dataset = CocoPanopticDataset(
        data_root=str(demo_set),
        ann_file="annotations/panoptic_train.json",
        data_prefix={"img": "images/train", "seg": "panoptic/train"},
        fraction=0.5,
    )
    assert len(dataset) == 4


@given(arrays(np.int32, array_shapes(min_dims=2, max_dims=2), elements=st.integers(0, 2**24 - 1)))
def test_segment_ids_survive_the_png(tmp_path_factory, ids):
    path = tmp_path_factory.getbasetemp() / "ids.png"
    cv2.imwrite(str(path), id2rgb(ids)[..., ::-1])
    np.testing.assert_array_equal(read_segment_ids(str(path)), ids)


@given(arrays(np.int32, (7, 5), elements=st.integers(0, 6)))
def test_label_map_is_a_look_up(ids):
    segments = [{"id": 1, "category": 4}, {"id": 5, "category": 0}, {"id": 77, "category": 2}]
    expected = [[{1: 4, 5: 0}.get(value, VOID) for value in row] for row in ids.tolist()]
    np.testing.assert_array_equal(label_map(ids, segments, 5), expected)


def test_more_classes_than_void_allows_are_refused():
    with pytest.raises(ValueError, match="at most 255 classes"):
        label_map(np.zeros((2, 2), np.int32), [], 256)


def test_measure_of_a_known_mask():
    mask = np.zeros((9, 12), bool)
    mask[2:5, 3:10] = True
    mask[3, 4] = False
    assert measure(mask) == {"area": 20, "bbox": [3, 2, 7, 3]}


def test_official_coco_panoptic_files_give_their_own_areas(data_root, demo_set):
    if data_root is None:
        root, ann_file = demo_set, "annotations/panoptic_val.json"
        prefix = {"img": "images/val", "seg": "panoptic/val"}
    else:
        root, ann_file = data_root / "coco_panoptic2", "panoptic_examples.json"
        prefix = {"img": "images", "seg": "panoptic"}
    dataset = build(root, ann_file=ann_file, data_prefix=prefix, pipeline=LOAD)
    content = json.loads((root / ann_file).read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    things = [c["name"] for c in content["categories"] if c["isthing"]]
    assert set(dataset.metainfo["thing_classes"]) == set(things)
    for index, annotation in enumerate(content["annotations"][:2]):
        sample = dataset[index]["data_samples"]
        area = dict.fromkeys(dataset.metainfo["classes"], 0)
        for segment in annotation["segments_info"]:
            area[names[segment["category_id"]]] += segment["area"]
        labels = sample.gt_sem_seg.sem_seg.numpy()
        found = {n: int((labels == i).sum()) for i, n in enumerate(dataset.metainfo["classes"])}
        assert found == area
        assert int(rgb2id([1, 2, 3])) == 1 + 2 * 256 + 3 * 65536
