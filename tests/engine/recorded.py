"""Small runs that leave records."""

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import METRICS, MODELS
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn

from attnseg.evaluation.bootstrap import Interval
from attnseg.per_image import ImageRef, PerImageTable

PARAMS, MACS = 3 * 4 * 9 + 8, 3 * 4 * 9 * 16


@MODELS.register_module(force=True)
class RecordNet(BaseModel):
    """Random in training, normalising, and 4x4 pixels small."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)

    def forward(self, inputs: list, data_samples: list, mode: str = "tensor") -> object:
        maps = self.drop(self.norm(self.conv(torch.stack(list(inputs)))))
        if mode == "loss":
            return {"loss": (maps * torch.rand(1) + random.random()).mean()}
        return data_samples if mode == "predict" else maps


@METRICS.register_module(force=True)
class Own(BaseMetric):
    """A metric with settings, intervals and statistics."""

    settings = {"limit": 0.5, "classes": ("a",)}
    table = None

    def process(self, data_batch: object, data_samples: list) -> None:
        self.results.extend(data_samples)

    def compute_metrics(self, results: list) -> dict[str, float]:
        images = tuple(ImageRef(i, "") for i in range(len(results)))
        arrays = {"n": np.arange(len(results))}
        self.table = PerImageTable("Own", "own", self.settings, ("a",), images, arrays)
        return {"third": len(results) / 3, "undefined": float("nan")}

    def intervals(self, resamples: int, level: float, seed: int) -> dict[str, Interval]:
        nan = float("nan")
        return {
            "own/third": Interval(0.0, level, resamples),
            "own/undefined": Interval(nan, nan, nan),
            "own/IoU/a": Interval(0.5, 0.25, 0.75),
        }


@METRICS.register_module(force=True)
class Foreign(BaseMetric):
    """A metric as others write them."""

    def __init__(self, ann_file: str = "", thresholds: tuple = (), **kwargs: object) -> None:
        super().__init__(**kwargs)

    def process(self, data_batch: object, data_samples: list) -> None:
        self.results.append(1)

    def compute_metrics(self, results: list) -> dict[str, object]:
        return {"score": torch.tensor(2.5), "text": "good"}


def loader(total: int, batch_size: int = 2) -> dict:
    def collate(batch: list[int]) -> dict:
        samples = [BaseDataElement(metainfo={"img_id": index}) for index in batch]
        images = [torch.full((3, 4, 4), float(index)) for index in batch]
        return {"inputs": images, "data_samples": samples}

    return {
        "dataset": list(range(total)),
        "batch_size": batch_size,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "collate_fn": collate,
    }


EPOCHS = {"by_epoch": True, "max_epochs": 2}
HOOK = {"type": "attnseg.RecordHook", "resamples": 10}


def make_runner(
    folder: Path, hooks: tuple = (HOOK,), evaluator: Any = None, **more: object
) -> Runner:
    evaluator = evaluator or {"type": "Own", "prefix": "own"}
    settings = {
        "model": {"type": "RecordNet"},
        "work_dir": str(folder),
        "train_dataloader": loader(6),
        "train_cfg": EPOCHS,
        "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.1}},
        "val_dataloader": loader(8),
        "val_cfg": {},
        "val_evaluator": evaluator,
        "test_dataloader": loader(10),
        "test_cfg": {},
        "test_evaluator": evaluator,
        "randomness": {"seed": 3},
        "default_scope": "mmengine",
        "custom_hooks": [{"type": "attnseg.ResultHook"}, *hooks],
        **more,
    }
    named = {k: v for k, v in settings.items() if k in ("val_evaluator", "test_evaluator", "model")}
    name = f"record_{folder.name}_{len(os.listdir(folder)) if folder.is_dir() else 0}"
    return Runner(**settings, cfg={**named, "work_dir": str(folder)}, experiment_name=name)


def records_in(folder: Path) -> list[dict]:
    paths = sorted(folder.glob("*_*/record*.json"), key=lambda path: (len(path.name), path))
    return [json.loads(path.read_text()) for path in paths]
