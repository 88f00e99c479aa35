"""Padding made by ScaleJitter must not be trained, in the pipelines as the configs give them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from attnseg.datasets import ScaleJitter
from attnseg.maskattn_unet.head import PixelEmbeddingHead

TASKS = Path(__file__).resolve().parents[2] / "configs/_base_/datasets"


def small_samples(task, demo_set, scope):
    """Samples of a demo base whose jitter always makes images of half the size."""
    cfg = Config.fromfile(TASKS / f"demo_{task}.py").train_dataloader.dataset
    cfg.pipeline[3].update(ratio_range=(0.5, 0.5))
    with DefaultScope.overwrite_default_scope(scope):
        dataset = DATASETS.build({**cfg, "data_root": str(demo_set)})
        return [dataset[index] for index in range(len(dataset))]


@pytest.mark.parametrize("task", ["instance", "panoptic"])
def test_targets_of_padding_are_ignored_and_the_image_is_not(task, demo_set):
    stuff = 2 * (task == "panoptic")
    head = PixelEmbeddingHead(in_channels=4, num_things=3, num_stuff=stuff, task=task)
    size = torch.Size((128, 128))
    flips = set()
    for sample in small_samples(task, demo_set, "mmdet"):
        data = sample["data_samples"]
        assert data.img_shape == (64, 64)
        semantic, instances = head._targets(data, size, torch.device("cpu"))
        inside = torch.zeros(size, dtype=torch.bool)
        inside[:64, :64] = True
        assert torch.equal(semantic == 255, ~inside)
        assert (instances[~inside] == -1).all()
        boxes = data.gt_instances.masks.get_bboxes("hbox").tensor
        assert torch.equal(data.gt_instances.bboxes.tensor, boxes)
        flips.add(data.flip)
    assert flips == {False, True}


def test_padding_of_semantic_maps_is_void(demo_set):
    for sample in small_samples("semantic", demo_set, "mmseg"):
        labels = sample["data_samples"].gt_sem_seg.data[0].numpy()
        assert not sample["inputs"].numpy()[:, labels == 255].any()
        assert (labels != 255).sum() == 64 * 64


def test_preprocessors_of_both_frameworks_keep_the_padded_size(demo_set):
    from mmdet.models import DetDataPreprocessor
    from mmseg.models import SegDataPreProcessor

    for task, scope, model in (
        ("instance", "mmdet", DetDataPreprocessor(pad_mask=True)),
        ("semantic", "mmseg", SegDataPreProcessor(size_divisor=8, seg_pad_val=255)),
    ):
        samples = small_samples(task, demo_set, scope)[:2]
        batch = {key: [sample[key] for sample in samples] for key in samples[0]}
        batch = model(batch, training=True)
        assert batch["inputs"].shape == (2, 3, 128, 128)
        for data in batch["data_samples"]:
            assert tuple(data.pad_shape) == (128, 128)
            if task == "instance":
                assert data.gt_instances.masks.masks.shape[1:] == (128, 128)
                assert data.img_shape == (64, 64)
            else:
                assert data.gt_sem_seg.shape == (128, 128)


def test_jitter_tells_image_from_padding():
    small = ScaleJitter((64, 48), (0.5, 0.5)).transform(
        {"img": np.ones((40, 60, 3), np.uint8), "img_shape": (40, 60)}
    )
    assert (small["img_shape"], small["pad_shape"]) == ((32, 24), (64, 48))
    large = ScaleJitter((64, 48), (2.0, 2.0)).transform(
        {"img": np.ones((40, 60, 3), np.uint8), "img_shape": (40, 60)}
    )
    assert large["img_shape"] == large["pad_shape"] == (64, 48)
