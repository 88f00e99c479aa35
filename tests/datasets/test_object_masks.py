"""Objects of COCO-form files as samples, and their way through a pipeline."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from pycocotools import mask as rle_tools
from pycocotools.coco import COCO

from attnseg.datasets import (
    LoadObjectMask,
    ObjectMaskDataset,
)
from attnseg.errors import InputError

from .objects import box_object

REPO = Path(__file__).resolve().parents[2]
Folder = Callable[..., Path]
PIPELINE = [
    {"type": "attnseg.LoadImage"},
    {"type": "attnseg.LoadObjectMask"},
    {"type": "attnseg.CoarseMask", "seed": 0},
]


def build(root: Path, **kwargs: Any) -> ObjectMaskDataset:
    return ObjectMaskDataset(
        ann_file="annotations.json",
        data_root=str(root),
        data_prefix={"img": "images"},
        **{"pipeline": PIPELINE, "min_area": 0, **kwargs},
    )


def more(content: dict[str, Any]) -> None:
    """Add objects to the second image: a crowd, one as large, and a tiny one."""
    crowd = box_object(5, 9, 3, [0, 0, 20, 18])
    mask = np.zeros((20, 30), np.uint8)
    mask[:18, :20] = 1
    counts = rle_tools.encode(np.asfortranarray(mask))
    uncompressed = [0]
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    uncompressed += np.diff([0, *edges, flat.size]).tolist()
    crowd |= {"iscrowd": 1, "segmentation": {"size": [20, 30], "counts": uncompressed}}
    coded = box_object(6, 9, 5, [1, 1, 9, 9])
    mask = np.zeros((20, 30), np.uint8)
    mask[1:10, 1:10] = 1
    counts = rle_tools.encode(np.asfortranarray(mask))["counts"].decode()
    coded["segmentation"] = {"size": [20, 30], "counts": counts}
    content["annotations"] += [crowd, coded, box_object(7, 9, 5, [12, 3, 9, 9])]
    content["annotations"].append(box_object(8, 9, 5, [28, 18, 2, 2]))


def ids(dataset: ObjectMaskDataset) -> list[Any]:
    return [dataset.get_data_info(i)["ann_id"] for i in range(len(dataset))]


def test_each_object_is_a_sample(coco_folder: Folder) -> None:
    dataset = build(coco_folder(more))
    assert ids(dataset) == [1, 2, 6, 7, 8]
    info = dataset.get_data_info(1)
    assert (info["img_id"], info["height"], info["width"]) == (7, 20, 30)
    assert (info["class_name"], info["area"], info["num_classes"]) == ("debris", 81, 2)
    assert len(info["instances"]) == 1
    sample = dataset[1]
    expected = np.zeros((20, 30), np.uint8)
    expected[4:13, 15:24] = 1
    assert (sample["gt_mask"] == expected).all()
    assert sample["seg_fields"] == ["gt_mask", "coarse_mask"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"objects": "largest"}, [2, 6]),
        ({"objects": "largest", "crowd": True}, [2, 5]),
        ({"crowd": True}, [1, 2, 5, 6, 7, 8]),
        ({"min_area": 50}, [2, 6, 7]),
        ({"min_area": 81, "objects": "largest"}, [2, 6]),
        ({"metainfo": {"classes": ("cell",)}}, [1, 6, 7, 8]),
    ],
)
def test_choices_of_objects(
    coco_folder: Folder, options: dict[str, Any], expected: list[int]
) -> None:
    assert ids(build(coco_folder(more), **options)) == expected


def test_a_fraction_is_one_of_the_images(coco_folder: Folder) -> None:
    dataset = build(coco_folder(more), fraction=0.5)
    assert ids(dataset) in ([1, 2], [6, 7, 8])


def test_images_without_objects_are_left_out(coco_folder: Folder) -> None:
    assert ids(build(coco_folder())) == [1, 2]


def test_no_object_is_said_with_what_to_do(coco_folder: Folder) -> None:
    with pytest.raises(ValueError, match=r"0 of 2 images.*min_area=1000.*lower min_area"):
        build(coco_folder(), min_area=1000)
    with pytest.raises(ValueError, match="objects must be one of all, largest"):
        build(coco_folder(), objects="some")
    with pytest.raises(ValueError, match="min_area must be 0 or more"):
        build(coco_folder(), min_area=-1)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        build(Path("nowhere"))


def outside(content: dict[str, Any]) -> None:
    """Objects beside the second image (20 x 30), said to be large, and one that it cuts."""
    boxes = ([300, 300, 9, 9], [30, 3, 9, 9], [3, -9, 9, 9], [0, 0, 0, 0])
    content["annotations"] += [
        box_object(number, 9, 5, box) | {"area": 5000.0} for number, box in enumerate(boxes, 20)
    ]
    content["annotations"].append(box_object(30, 9, 5, [-8, 18, 9, 9]) | {"area": 100.0})


@pytest.mark.parametrize("objects", ["all", "largest"])
def test_objects_beside_the_image_are_left_out_and_counted(
    coco_folder: Folder, objects: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        "attnseg.datasets.object_masks.print_log", lambda text, **_: said.append(text)
    )
    root = coco_folder(outside)
    dataset = build(root, objects=objects)
    assert ids(dataset) == ([1, 2, 30] if objects == "all" else [2, 30])
    assert dataset[len(dataset) - 1]["gt_mask"].sum() == 2
    (line,) = said
    assert "4 objects" in line and "annotations.json" in line
    said.clear()
    build(coco_folder(), objects=objects)
    assert not said


def test_only_objects_beside_the_images_are_no_objects(coco_folder: Folder) -> None:
    def move(content: dict[str, Any]) -> None:
        for ann in content["annotations"]:
            ann["bbox"][0] += 300

    with pytest.raises(ValueError, match=r"0 of 2 images.*2 objects lie outside their image"):
        build(coco_folder(move))


def test_objects_without_ids_are_numbered(coco_folder: Folder) -> None:
    def drop(content: dict[str, Any]) -> None:
        for ann in content["annotations"]:
            del ann["id"]

    assert ids(build(coco_folder(drop))) == [0, 1]


def test_crowds_and_codes_are_decoded(coco_folder: Folder) -> None:
    dataset = build(coco_folder(more), crowd=True)
    masks = {dataset[i]["ann_id"]: dataset[i]["gt_mask"] for i in range(len(dataset))}
    assert masks[5].sum() == masks[5][:18, :20].sum() == 360
    assert masks[6].sum() == masks[6][1:10, 1:10].sum() == 81


def test_real_masks_are_those_of_pycocotools(data_root: Path | None, demo_set: Path) -> None:
    real = data_root is not None
    root = data_root / "coco_mini" if real else demo_set
    name = "instances_val2017.json" if real else "instances_val.json"
    dataset = ObjectMaskDataset(
        ann_file=f"annotations/{name}",
        data_root=str(root),
        data_prefix={"img": "val2017" if real else "images/val"},
        crowd=True,
        min_area=0,
        pipeline=[{"type": "attnseg.LoadObjectMask"}],
    )
    coco = COCO(str(root / "annotations" / name))
    assert len(dataset) == len(coco.anns)
    crowds = [i for i in range(len(dataset)) if coco.anns[ids_of(dataset, i)]["iscrowd"]]
    for index in [*range(0, len(dataset), 40), *crowds[:5]]:
        sample = dataset[index]
        assert (sample["gt_mask"] == coco.annToMask(coco.anns[sample["ann_id"]])).all()


def ids_of(dataset: ObjectMaskDataset, index: int) -> Any:
    return dataset.get_data_info(index)["ann_id"]


@pytest.mark.parametrize(
    ("segmentation", "text"),
    [
        ({"size": [5, 6], "counts": [30]}, r"object 3 of image 'a.png'.*\(5, 6\)"),
        ({"size": [20, 30], "counts": [30]}, "object 3 of image 'a.png': damaged RLE"),
        ([[1, 2, "x", 4, 5, 6]], "object 3 of image 'a.png': its polygon"),
    ],
)
def test_damaged_masks_are_named(segmentation: Any, text: str) -> None:
    results = {"img": np.zeros((20, 30, 3), np.uint8), "img_path": "a.png", "ann_id": 3}
    with pytest.raises(InputError, match=text):
        LoadObjectMask()({**results, "instances": [{"mask": segmentation}]})


def test_an_image_of_another_size_is_refused(coco_folder: Folder) -> None:
    root = coco_folder()
    cv2.imwrite(str(root / "images/a.png"), np.zeros((30, 20, 3), np.uint8))
    with pytest.raises(ValueError, match="30x20"):
        build(root)[0]


def demo_loader(demo_set: Path, split: str, **changes: Any) -> Any:
    cfg = Config.fromfile(REPO / "configs/_base_/datasets/demo_refinement.py")
    loader = cfg[f"{split}_dataloader"]
    loader.dataset.data_root = str(demo_set)
    loader.update(num_workers=0, persistent_workers=False, **changes)
    return Runner.build_dataloader(loader, seed=0)


def test_validation_masks_are_the_same_in_every_run(demo_set: Path) -> None:
    first, second = (demo_loader(demo_set, "val").dataset for _ in range(2))
    for one, two in zip(first, second, strict=True):
        assert (one["data_samples"].coarse == two["data_samples"].coarse).all()
    train = demo_loader(demo_set, "train").dataset
    seen = [train[0]["data_samples"] for _ in range(4)]
    assert any((s.coarse != seen[0].coarse).any() for s in seen[1:])
    assert "gt_mask" not in seen[0]


def test_batches_keep_upright_and_lying_images_apart(tmp_path: Path, coco_folder: Folder) -> None:
    def upright(content: dict[str, Any]) -> None:
        content["images"][1].update(height=30, width=20)
        content["annotations"] += [box_object(3, 9, 5, [1, 2, 10, 20])]
        content["annotations"] += [box_object(4, 9, 5, [3, 4, 10, 20])]

    root = coco_folder(upright)
    cv2.imwrite(str(root / "images/b.png"), np.zeros((30, 20, 3), np.uint8))
    loader = demo_loader(
        root,
        "train",
        batch_size=2,
        dataset={
            "type": "attnseg.ObjectMaskDataset",
            "data_root": str(root),
            "ann_file": "annotations.json",
            "data_prefix": {"img": "images"},
            "min_area": 0,
            "pipeline": [*PIPELINE, {"type": "attnseg.PackRefinement"}],
        },
    )
    shapes = set()
    for _, batch in zip(range(8), loader, strict=False):
        assert len({tuple(image.shape) for image in batch["inputs"]}) == 1
        shapes.add(tuple(batch["inputs"][0].shape))
    assert shapes == {(3, 20, 30), (3, 30, 20)}


def test_the_published_set_is_the_largest_object_of_each_image(data_root: Path | None) -> None:
    cfg = Config.fromfile(REPO / "configs/_base_/datasets/coco_refinement.py")
    assert cfg.train_pipeline[2].mode == "erode" and "seed" not in cfg.train_pipeline[2]
    assert cfg.test_pipeline[2].seed == 0
    if data_root is None:
        return
    loader = cfg.val_dataloader
    loader.dataset.data_root = str(data_root / "coco_mini")
    dataset = DATASETS.build(loader.dataset)
    content = json.loads(Path(dataset.ann_file).read_text(encoding="utf-8"))
    largest: dict[int, float] = {}
    for ann in content["annotations"]:
        largest[ann["image_id"]] = max(ann["area"], largest.get(ann["image_id"], 0))
    found = {i["img_id"]: i["area"] for i in map(dataset.get_data_info, range(len(dataset)))}
    assert found == largest
