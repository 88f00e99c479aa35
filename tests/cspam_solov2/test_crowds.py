"""Images whose only annotation is a crowd: from the json through a loader to a training step."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.utils import register_all_modules
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from attnseg.registry import MODELS
from tests.cspam_solov2 import scenes

SIZE = (60, 90)


def tiny() -> nn.Module:
    torch.manual_seed(0)
    # Weights of torch: those of init_weights silence what stands before a norm that starts at zero.
    return MODELS.build(
        {
            "type": "SOLOv2",
            "data_preprocessor": {
                "type": "DetDataPreprocessor",
                "mean": [123.675, 116.28, 103.53],
                "std": [58.395, 57.12, 57.375],
                "pad_mask": True,
                "pad_size_divisor": 32,
            },
            "backbone": {"type": "attnseg.CSPAMResNet", "depth": 18, "base_channels": 16},
            "neck": {
                "type": "attnseg.TWFPN",
                "in_channels": [16, 32, 64, 128],
                "out_channels": 8,
                "num_outs": 4,
                "with_top": True,
            },
            "mask_head": {
                "type": "attnseg.AdaptiveSOLOv2Head",
                **scenes.settings(
                    num_grids=[7, 5, 3, 2],
                    scale_ranges=((1, 24), (12, 48), (32, 96), (64, 512)),
                    strides=(8, 8, 16, 32),
                    mask_feature_head={
                        "type": "attnseg.CSMF",
                        "feat_channels": 8,
                        "start_level": 0,
                        "end_level": 3,
                        "out_channels": 8,
                    },
                ),
            },
        }
    ).train()


def batch(folder: Path, **annotation: object) -> dict:
    """Two images with one annotation each, or without any."""
    run = [5 * SIZE[0] + 10, 30] + [30, 30] * 50  # column by column, as COCO counts
    shape = {
        "category_id": 2,
        "area": 51 * 30,
        "bbox": [5, 10, 51, 30],
        "segmentation": {"size": list(SIZE), "counts": [*run, SIZE[0] * SIZE[1] - sum(run)]},
    }
    names = {1: "a.png", 2: "b.png"}
    content = {
        "images": [
            {"id": i, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
            for i, name in names.items()
        ],
        "annotations": [{"id": i, "image_id": i, **shape, **annotation} for i in names]
        if annotation
        else [],
        "categories": [{"id": i, "name": name} for i, name in enumerate(("car", "rider", "bus"))],
    }
    (folder / "train.json").write_text(json.dumps(content))
    for seed, name in names.items():
        pixels = np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)
        cv2.imwrite(str(folder / name), pixels)
    loader = Runner.build_dataloader(
        {
            "batch_size": 2,
            "num_workers": 0,
            "sampler": {"type": "DefaultSampler", "shuffle": False},
            "dataset": {
                "type": "attnseg.CocoInstanceDataset",
                "data_root": str(folder),
                "ann_file": "train.json",
                "pipeline": [
                    {"type": "attnseg.LoadImage"},
                    {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True},
                    {"type": "PackDetInputs"},
                ],
            },
        }
    )
    return next(iter(loader))


def step(data: dict) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Losses and gradients of one step as the runner takes it."""
    model, grads = tiny(), {}
    for name, parameter in model.named_parameters():
        parameter.register_post_accumulate_grad_hook(
            lambda p, name=name: grads.update({name: p.grad.clone()})
        )
    losses = model.train_step(data, OptimWrapper(torch.optim.SGD(model.parameters(), 0.01)))
    assert grads.keys() == {name for name, _ in model.named_parameters()}
    return losses, grads


@pytest.fixture(autouse=True)
def _mmdet_scope() -> None:
    register_all_modules(init_default_scope=True)


def test_images_of_crowds_alone_train_as_images_without_objects(tmp_path: Path) -> None:
    data = batch(tmp_path, iscrowd=1)
    for sample in data["data_samples"]:
        assert (len(sample.gt_instances), len(sample.ignored_instances)) == (0, 1)
        assert sample.ignored_instances.masks.masks.sum() == 51 * 30
    losses, grads = step(data)
    assert all(value.isfinite() for value in losses.values())
    assert losses["loss_cls"] > 0 and losses["loss_mask"] == 0
    assert all(grad.isfinite().all() for grad in grads.values())
    for name in ("mask_head.conv_cls.weight", "neck.lateral_convs.0.conv.weight"):
        assert grads[name].any(), name
    empty_losses, empty_grads = step(batch(tmp_path))
    assert losses == empty_losses
    assert all(torch.equal(grads[name], empty_grads[name]) for name in grads)


def test_the_same_annotations_are_learned_where_they_are_no_crowds(tmp_path: Path) -> None:
    losses, grads = step(batch(tmp_path, iscrowd=0))
    assert losses["loss_mask"] > 0
    assert all(grad.isfinite().all() for grad in grads.values())
    # Attention starts as the identity: theta and T2 learn first.
    silent = {name.split(".attention.")[-1] for name, grad in grads.items() if not grad.any()}
    assert silent == {"p.weight", "p.bias", "a.weight", "m.weight", "m.bias", "fuse.weight"}
