"""attnseg.LoadPanopticMap and SplitPanopticMap against mmdet's own loader."""

from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import Compose, RandomFlip
from mmdet.datasets.transforms import LoadPanopticAnnotations

from attnseg.datasets import (
    CocoPanopticDataset,
    LoadImage,
    LoadPanopticMap,
    ScaleJitter,
    SplitPanopticMap,
)


def datasets(demo_set: Path, data_root: Path | None) -> list[CocoPanopticDataset]:
    found = [(demo_set, "annotations/panoptic_train.json", "images/train/", "panoptic/train/")]
    if data_root is not None:
        found += [
            (data_root / "dsb2018", "annotations/panoptic_val.json", "images/val", "panoptic/val"),
            (data_root / "coco_panoptic2", "panoptic_examples.json", "images", "panoptic"),
        ]
    return [
        CocoPanopticDataset(
            data_root=str(root), ann_file=ann, data_prefix={"img": img, "seg": seg}, pipeline=[]
        )
        for root, ann, img, seg in found
    ]


def test_agrees_with_the_loader_of_mmdet(demo_set: Path, data_root: Path | None) -> None:
    for dataset in datasets(demo_set, data_root):
        for index in range(min(3, len(dataset))):
            load = LoadImage()
            info = dataset.get_data_info(index)
            ours = SplitPanopticMap()(LoadPanopticMap()(load(dict(info))))
            theirs = LoadPanopticAnnotations()(load(dataset.get_data_info(index)))
            assert (ours["gt_seg_map"] == theirs["gt_seg_map"]).all()
            assert (ours["gt_masks"].masks == theirs["gt_masks"].masks).all()
            keep = ~theirs["gt_ignore_flags"]
            assert (ours["gt_bboxes_labels"] == theirs["gt_bboxes_labels"][keep]).all()
            boxes = ours["gt_masks"].get_bboxes("hbox").tensor
            assert (ours["gt_bboxes"].tensor == boxes).all()


@pytest.mark.parametrize("size", [(64, 48), (97, 131)])
def test_survives_augmentation(demo_set: Path, size: tuple[int, int]) -> None:
    (dataset,) = datasets(demo_set, None)
    pipeline = Compose(
        [
            LoadImage(),
            LoadPanopticMap(),
            RandomFlip(prob=0.5),
            ScaleJitter(size, ratio_range=(0.5, 2.0)),
            SplitPanopticMap(),
        ]
    )
    for index in range(len(dataset)):
        sample = pipeline(dataset.get_data_info(index))
        masks, labels = sample["gt_masks"].masks, sample["gt_seg_map"]
        assert labels.shape == size and masks.shape[1:] == size
        assert set(np.unique(labels)) <= {0, 1, 2, 3, 4, 255}
        assert (masks.sum(0) <= 1).all() and masks.any((1, 2)).all()
        things = labels < 3
        assert (masks.any(0) == things).all()
        for mask, label in zip(masks, sample["gt_bboxes_labels"], strict=True):
            assert (labels[mask > 0] == label).all()


def test_crowds_are_no_objects_and_unlisted_segments_void(tmp_path: Path) -> None:
    import cv2

    ids = np.zeros((4, 6), np.uint8)
    ids[:2, :3], ids[2:, :3], ids[:, 4] = 7, 8, 9
    cv2.imwrite(str(tmp_path / "p.png"), np.stack([ids * 0, ids * 0, ids], -1))
    segments = [
        {"id": 7, "category": 0, "is_thing": True},
        {"id": 8, "category": 0, "is_thing": False},
    ]
    sample = {"seg_map_path": str(tmp_path / "p.png"), "segments_info": segments}
    sample = SplitPanopticMap()(LoadPanopticMap()(sample))
    assert len(sample["gt_masks"]) == 1
    assert sample["gt_seg_map"].tolist() == [[0, 0, 0, 255, 255, 255]] * 4


def test_samples_without_annotations_pass() -> None:
    assert SplitPanopticMap()(LoadPanopticMap()({"seg_map_path": None})) == {"seg_map_path": None}


def test_more_classes_than_void_allows_are_refused() -> None:
    sample = {"seg_map_path": "none.png", "segments_info": [], "num_classes": 256}
    with pytest.raises(ValueError, match="at most 255 classes"):
        LoadPanopticMap()(sample)
    codes = np.full((2, 2), 256, np.int32)
    segments = [{"id": 1, "category": 255, "is_thing": True}]
    with pytest.raises(ValueError, match="at most 255 classes fit .*got 256"):
        SplitPanopticMap()({"gt_seg_map": codes, "segments_info": segments})
