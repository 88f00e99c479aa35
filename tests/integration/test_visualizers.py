"""mmdet's and mmseg's visualizers draw our predictions."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

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
