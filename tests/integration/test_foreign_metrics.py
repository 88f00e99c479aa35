"""mmdet's and mmseg's own metrics on our predictions."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import SampleList
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image
from torch import Tensor

from attnseg.registry import METRICS, MODELS


def evaluate(cfg: Config, model: torch.nn.Module, metric: dict) -> dict[str, float]:
    loader = Runner.build_dataloader(cfg.val_dataloader)
    judge = METRICS.build(metric)
    judge.dataset_meta = loader.dataset.metainfo
    model.eval()
    with torch.no_grad():
        for data in loader:
            judge.process(data, [sample.to_dict() for sample in model.val_step(data)])
    return judge.evaluate(len(loader.dataset))


def truth_as_maps(sample: object) -> tuple[Tensor, Tensor]:
    """Logits and embeddings of a perfect network: one direction for each object."""
    masks = sample.gt_instances.masks.to_tensor(torch.float32, "cpu")
    semantic = sample.gt_sem_seg.sem_seg[0].long().clamp(max=5)
    logits = 20 * F.one_hot(semantic, 6)[..., :5].permute(2, 0, 1).float()
    embedding = torch.zeros(16, *semantic.shape)
    embedding[: len(masks)] = masks
    embedding[15][masks.sum(0) == 0] = 1
    return logits, embedding


def test_coco_metric_gives_the_truth_full_marks(
    panoptic_cfg: Config, demo_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init_default_scope("mmdet")
    model = MODELS.build(panoptic_cfg.model)

    def predict(inputs: Tensor, samples: SampleList, rescale: bool = True) -> SampleList:
        for one in samples:
            model.add_prediction(one, *truth_as_maps(one), one.ori_shape[:2])
        return samples

    monkeypatch.setattr(model, "predict", predict)
    ann_file = str(demo_set / "annotations/instances_val.json")
    metric = {"type": "mmdet.CocoMetric", "metric": ["segm", "bbox"], "ann_file": ann_file}
    values = evaluate(panoptic_cfg, model, metric)
    assert values["coco/segm_mAP"] == pytest.approx(1.0, abs=1e-3)
    assert values["coco/bbox_mAP"] > 0.9


def test_coco_metric_takes_what_a_network_predicts(panoptic_cfg: Config, demo_set: Path) -> None:
    init_default_scope("mmdet")
    ann_file = str(demo_set / "annotations/instances_val.json")
    metric = {"type": "mmdet.CocoMetric", "metric": ["segm"], "ann_file": ann_file}
    torch.manual_seed(0)
    values = evaluate(panoptic_cfg, MODELS.build(panoptic_cfg.model), metric)
    assert -1 <= values.get("coco/segm_mAP", 0.0) <= 1


def test_iou_metric_on_a_constant_prediction(semantic_cfg: Config, demo_set: Path) -> None:
    """All pixels class 4: the accuracy is the share of that class."""
    init_default_scope("mmseg")
    model = MODELS.build(semantic_cfg.model)
    torch.nn.init.zeros_(model.decode_head.conv_seg.weight)
    with torch.no_grad():
        model.decode_head.conv_seg.bias.copy_(F.one_hot(torch.tensor(4), 5))
    values = evaluate(semantic_cfg, model, {"type": "mmseg.IoUMetric"})
    labels = [np.asarray(Image.open(p)) for p in sorted((demo_set / "semantic/val").iterdir())]
    share = float(np.mean([np.mean(label == 4) for label in labels]))
    assert values["aAcc"] == pytest.approx(100 * share, abs=0.01)
