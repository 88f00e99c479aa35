"""PictureHook reads images as the data set does, and hands the visualizer what it can draw."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from mmcv.transforms import Compose, LoadImageFromFile
from mmengine.structures import BaseDataElement, InstanceData
from pycocotools import mask as coco_mask

from attnseg.engine.hooks import PictureHook
from attnseg.registry import TRANSFORMS

GRAY = np.arange(12 * 9, dtype=np.uint16).reshape(12, 9)


class Canvas:
    """A visualizer that keeps what it is given."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def add_datasample(self, **arguments: Any) -> None:
        self.calls.append(arguments)


def runner(*steps: Any, wrappers: int = 0) -> Any:
    dataset = SimpleNamespace(pipeline=Compose(steps))
    for _ in range(wrappers):
        dataset = SimpleNamespace(datasets=[SimpleNamespace(dataset=dataset)])
    loader = SimpleNamespace(dataset=dataset)
    return SimpleNamespace(
        iter=0, visualizer=Canvas(), val_dataloader=loader, test_dataloader=loader
    )


def load(**options: Any) -> Any:
    return TRANSFORMS.build({"type": "attnseg.LoadImage", **options})


def sample(path: Path) -> BaseDataElement:
    return BaseDataElement(metainfo={"img_path": str(path)})


def drawn(run: Any, path: Path, **options: Any) -> dict[str, Any]:
    PictureHook(draw=True, **options).after_test_iter(run, 0, None, [sample(path)])
    (call,) = run.visualizer.calls
    return call


@pytest.mark.parametrize("scale", [1, 37])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("wrappers", [0, 2])
def test_deep_gray_fills_the_range(tmp_path: Path, scale: int, dtype: type, wrappers: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", (GRAY * scale + 300).astype(dtype))
    image = drawn(runner(load(channels=1), wrappers=wrappers), tmp_path / "a.tif")["image"]
    assert image.dtype == np.uint8 and image.shape == (12, 9, 3)
    assert image.min() == 0 and image.max() == 255 and (image == image[..., :1]).all()


def test_channels_and_planes_are_those_of_the_data_set(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    channels = np.stack([GRAY, 7 * GRAY[::-1], 0 * GRAY, 0 * GRAY])
    tifffile.imwrite(path, channels, photometric="minisblack")
    both = drawn(runner(load(select=(0, 1), per_channel=True)), path)["image"]
    # Magenta and green, each over its own range.
    assert both[0, 0, 1] > 200
    assert both[0, 0, 0] == both[0, 0, 2] < 10 and both[-1, -1, 0] > 200
    # A data set that reads in some unknown way: all channels, in gray.
    unknown = drawn(runner(), path)["image"]
    assert (unknown == unknown[..., :1]).all() and unknown.std() > 10


@pytest.mark.parametrize("step", ["ours", "mmcv", "none"])
def test_colours_are_not_swapped(tmp_path: Path, step: str) -> None:
    bgr = np.zeros((4, 4, 3), np.uint8)
    bgr[..., 2] = 200
    cv2.imwrite(str(tmp_path / "a.png"), bgr)
    steps = {"ours": [load()], "mmcv": [LoadImageFromFile()], "none": []}[step]
    assert drawn(runner(*steps), tmp_path / "a.png")["image"][0, 0].tolist() == [200, 0, 0]


@pytest.mark.parametrize(
    ("name", "expected"), [("a.png", "a.png"), ("a.JPG", "a.JPG"), ("a.tif", "a.tif.png")]
)
def test_where_pictures_go(tmp_path: Path, name: str, expected: str) -> None:
    cv2.imwrite(str(tmp_path / name), np.zeros((4, 4, 3), np.uint8))
    call = drawn(
        runner(load()), tmp_path / name, test_out_dir="out", options={"pred_score_thr": 0.5}
    )
    assert Path(call["out_file"]) == Path("out") / expected
    assert call["pred_score_thr"] == 0.5
    assert "out_file" not in drawn(runner(load()), tmp_path / name)


def test_rles_are_decoded_if_they_are_going_to_be_drawn(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((12, 9, 3), np.uint8))
    masks = np.random.default_rng(0).random((3, 12, 9)) > 0.5
    for scores, kept in (([0.9, 0.1, 0.4], [0, 2]), ([0.1, 0.2, 0.0], [])):
        one = sample(tmp_path / "a.png")
        one.pred_instances = InstanceData(
            scores=torch.tensor(scores),
            labels=torch.tensor([4, 5, 6]),
            masks=[coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks],
        )
        run = runner(load())
        PictureHook(draw=True).after_test_iter(run, 0, None, [one])
        found = run.visualizer.calls[0]["data_sample"].pred_instances
        assert found.labels.tolist() == [4 + i for i in kept]
        assert len(found.masks) == len(kept)
        assert not kept or (found.masks.numpy() == masks[kept]).all()
        # What is evaluated stays as it was.
        assert len(one.pred_instances) == 3 and isinstance(one.pred_instances.masks, list)


def test_refined_objects_are_outlined_one_picture_each(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), np.full((200, 300, 3), 90, np.uint8))
    samples = []
    for number in (5, 6):
        one = sample(path)
        one.set_metainfo({"ann_id": number})
        for key, start in (("coarse_mask", 12), ("gt_mask", 16), ("pred_mask", number + 15)):
            mask = torch.zeros(200, 300, dtype=torch.bool)
            mask[start : start + 8, start : start + 8] = True
            one.set_data({key: mask})
        samples.append(one)
    run = runner(load())
    PictureHook(draw=True, test_out_dir="out").after_test_iter(run, 0, None, samples)
    first, second = run.visualizer.calls
    names = [Path(call["out_file"]).name for call in (first, second)]
    assert names == ["a_5.png", "a_6.png"]
    image = first["image"]
    # Pixels 4 to 35 either way, 15 times as large, and a legend.
    assert image.shape == (32 * 15 + 26, 480, 3)
    at = {
        name: image[(start - 4) * 15, (start - 4) * 15].tolist()
        for name, start in (("coarse", 12), ("truth", 16), ("refined", 20))
    }
    assert at == {"coarse": [240, 160, 0], "truth": [0, 200, 0], "refined": [230, 0, 230]}
    assert np.ptp(image[9 * 15, 9 * 15].astype(int)) < 6
    legend = image[-26:].reshape(-1, 3).tolist()
    assert all(colour in legend for colour in at.values())
    assert min(map(max, legend)) < 60
    # The union of the masks is larger.
    assert second["image"].shape == (33 * 15 + 26, 495, 3)
    assert first["draw_gt"] is False


@pytest.mark.parametrize("shape", [(1, 1), (7, 900), (600, 5), (31, 17)])
@pytest.mark.parametrize("filled", [True, False])
def test_any_object_has_a_picture(tmp_path: Path, shape: tuple[int, int], filled: bool) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((*shape, 3), 90, np.uint8))
    one = sample(path)
    one.set_data({"pred_mask": torch.full(shape, filled), "coarse_mask": torch.zeros(2, 2)})
    run = runner(load())
    PictureHook(draw=True).after_test_iter(run, 0, None, [one])
    image = run.visualizer.calls[0]["image"]
    assert max(image.shape[0] - 26, image.shape[1]) >= 480 and image.dtype == np.uint8
    assert ([230, 0, 230] in image[:-26].reshape(-1, 3).tolist()) is filled
    # Of the mask with another size there is neither a line nor a word.
    assert [240, 160, 0] not in image.reshape(-1, 3).tolist()


def test_validation_draws_now_and_then(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
    run = runner(load())
    for hook, pictures in ((PictureHook(draw=True, interval=3), 2), (PictureHook(), 0)):
        run.visualizer.calls.clear()
        for batch in range(5):
            hook.after_val_iter(run, batch, None, [sample(tmp_path / "a.png")] * 2)
        hook.after_test_iter(run, 0, None, [sample(tmp_path / "a.png")] if not pictures else [])
        assert len(run.visualizer.calls) == pictures
