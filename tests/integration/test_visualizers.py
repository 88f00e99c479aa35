"""mmdet's and mmseg's visualizers draw our predictions."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch
from mmengine.structures import InstanceData, PixelData
from pycocotools import mask as coco_mask

from attnseg.engine.hooks import PictureHook
from tests.engine.test_picture_hook import load, runner
from tests.maskattn_unet.factory import sample, segmentor

IMAGE = np.full((48, 64, 3), 90, np.uint8)
COLOURS = [(220, 20, 60), (0, 200, 0), (0, 0, 220), (200, 200, 0), (0, 200, 200)]


@pytest.mark.parametrize("task", ["panoptic", "instance"])
@pytest.mark.parametrize("objects", [0, 2])
def test_detection_visualizer(task: str, objects: int, tmp_path: Path) -> None:
    from mmdet.visualization import DetLocalVisualizer

    model = segmentor(task, stuff_area=1).eval()
    one = sample((48, 64), objects)
    logits = torch.zeros(model.head.classify.out_channels, 48, 64)
    logits[2] = 5
    embedding = torch.zeros(16, 48, 64)
    embedding[15] = 1
    for i, mask in enumerate(one.gt_instances.masks.masks.astype(bool)):
        logits[:, mask] = 0
        logits[i % 2, mask] = 10
        embedding[:, mask] = torch.eye(16)[i][:, None]
    model.add_prediction(one, logits, embedding, (48, 64))
    assert len(one.pred_instances) == objects

    draw = DetLocalVisualizer(name=str(tmp_path))
    classes = ("a", "b", "c", "d", "e")[: model.head.num_classes]
    draw.dataset_meta = {"classes": classes, "palette": COLOURS[: len(classes)]}
    out = tmp_path / "drawn.png"
    draw.add_datasample("x", IMAGE, one, draw_gt=False, out_file=str(out))
    drawn = cv2.imread(str(out))
    assert drawn.shape == IMAGE.shape
    # An instance prediction without objects leaves the image as it is.
    assert (drawn != IMAGE).any() == (task == "panoptic" or objects > 0)


def test_segmentation_visualizer(tmp_path: Path) -> None:
    from mmseg.structures import SegDataSample
    from mmseg.visualization import SegLocalVisualizer

    one = SegDataSample()
    one.pred_sem_seg = PixelData(data=torch.arange(5).repeat(48, 13)[None, :, :64])
    draw = SegLocalVisualizer(name=str(tmp_path), alpha=0.6)
    draw.set_dataset_meta(classes=("a", "b", "c", "d", "e"), palette=COLOURS)
    out = tmp_path / "drawn.png"
    draw.add_datasample("x", IMAGE, one, draw_gt=False, with_labels=False, out_file=str(out))
    drawn = cv2.imread(str(out))
    assert drawn.shape == IMAGE.shape
    assert (drawn != IMAGE).any()


@pytest.mark.parametrize("rle", [False, True])
@pytest.mark.parametrize("objects", [0, 2])
def test_picture_hook_draws_instances_into_a_deep_image(
    objects: int, rle: bool, tmp_path: Path
) -> None:
    from mmdet.structures import DetDataSample
    from mmdet.visualization import DetLocalVisualizer

    path = tmp_path / "a.tif"
    ground = np.random.default_rng(0).integers(900, 1300, (2, 48, 64)).astype(np.uint16)
    tifffile.imwrite(path, ground, photometric="minisblack")
    masks = np.zeros((objects, 48, 64), np.uint8)
    for i in range(objects):
        masks[i, 20 * i : 20 * i + 15, 5:40] = 1
    coded = [coco_mask.encode(np.asfortranarray(mask)) for mask in masks]
    one = DetDataSample(metainfo={"img_path": str(path)})
    one.pred_instances = InstanceData(
        labels=torch.zeros(objects, dtype=torch.int64),
        scores=torch.full((objects,), 0.9),
        bboxes=torch.tensor([[5.0, 20 * i, 40, 20 * i + 15] for i in range(objects)]).view(-1, 4),
        masks=coded if rle else torch.from_numpy(masks).bool(),
    )
    run = runner(load(channels=2))
    run.visualizer = DetLocalVisualizer(name=str(tmp_path))
    run.visualizer.dataset_meta = {"classes": ("a",), "palette": COLOURS[:1]}
    np.random.seed(0)  # mmdet draws colours by chance
    hook = PictureHook(draw=True, test_out_dir=str(tmp_path / "drawn"))
    hook.after_test_iter(run, 0, None, [one])
    # mmdet draws the truth, which is missing here, to the left.
    plain, picture = np.split(cv2.imread(str(tmp_path / "drawn" / "a.tif.png")), 2, axis=1)
    assert picture.shape == (48, 64, 3) and plain.mean() > 50
    red = (picture[..., 2] > 1.5 * picture[..., 0]) & (picture[..., 2] > 1.5 * picture[..., 1])
    assert (picture != plain).any() == bool(objects)
    assert not objects or red[masks.any(0) > 0].mean() > 0.3 > red[~masks.any(0)].mean()


def test_picture_hook_draws_classes_into_a_deep_image(tmp_path: Path) -> None:
    from mmseg.structures import SegDataSample
    from mmseg.visualization import SegLocalVisualizer

    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.arange(48 * 64, dtype=np.float32).reshape(48, 64))
    one = SegDataSample(metainfo={"img_path": str(path)})
    one.pred_sem_seg = PixelData(data=torch.arange(5).repeat(48, 13)[None, :, :64])
    run = runner(load())
    run.visualizer = SegLocalVisualizer(name=str(tmp_path), alpha=0.6)
    run.visualizer.set_dataset_meta(classes=("a", "b", "c", "d", "e"), palette=COLOURS)
    PictureHook(draw=True, test_out_dir=str(tmp_path)).after_test_iter(run, 0, None, [one])
    picture = cv2.imread(str(tmp_path / "a.tif.png"))
    assert picture.shape == (48, 64, 3) and len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
