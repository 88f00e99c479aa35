"""More than 100 instances an image, from the matching to the metric; and that it learns at all."""

import pytest
import torch

from attnseg.evaluation import CocoInstanceMetric
from attnseg.iaunet.matching import HungarianMaskMatcher
from attnseg.iaunet.postprocess import PostprocessConfig, select, to_instances
from attnseg.iaunet.structures import MaskTruth
from tests.iaunet.factory import detector, sample

OBJECTS, QUERIES, SIDE = 324, 400, 144


def objects() -> torch.Tensor:
    """324 squares of 6x6 on a grid, two pixels apart."""
    masks = torch.zeros(OBJECTS, SIDE, SIDE, dtype=torch.bool)
    for i in range(OBJECTS):
        y, x = 8 * (i // 18), 8 * (i % 18)
        masks[i, y : y + 6, x : x + 6] = True
    return masks


def perfect_logits() -> tuple[torch.Tensor, torch.Tensor]:
    """Each object by one query in random order; the other queries predict nothing."""
    order = torch.randperm(QUERIES, generator=torch.Generator().manual_seed(0))[:OBJECTS]
    classes = torch.tensor([-9.0, 9.0]).repeat(QUERIES, 1)
    classes[order] = torch.tensor([9.0, -9.0])
    masks = torch.full((QUERIES, SIDE, SIDE), -9.0)
    masks[order] = torch.where(objects(), 9.0, -9.0)
    return classes, masks


@pytest.mark.parametrize(("limit", "expected"), [(400, 1.0), (100, None)])
def test_three_hundred_perfect_instances_score_one(limit, expected):
    cfg = PostprocessConfig(max_per_img=limit)
    size = (SIDE, SIDE)
    found = to_instances(select(*perfect_logits(), cfg), size, size, size, cfg)
    assert len(found) == min(limit, OBJECTS)
    metric = CocoInstanceMetric(max_dets=(1, 100, 1000))
    metric.dataset_meta = {"classes": ("cell",)}
    truth = {"masks": objects(), "labels": torch.zeros(OBJECTS, dtype=torch.int64)}
    entry = {"img_id": 1, "ori_shape": size, "gt_instances": truth, "pred_instances": found}
    metric.process({}, [{**entry, "pred_instances": dict(found.items())}])
    values = metric.evaluate(1)
    if expected:
        assert values["coco/AP"] == expected
    else:
        assert values["coco/AP"] < 0.4


def test_three_hundred_objects_are_matched_with_their_queries():
    classes, masks = perfect_logits()
    truth = MaskTruth(torch.zeros(OBJECTS, dtype=torch.int64), objects())
    queries, matched = HungarianMaskMatcher(mode="dense")(classes, masks, truth)
    assert len(queries) == OBJECTS
    assert torch.equal(masks[queries] > 0, truth.masks[matched])


@pytest.mark.slow
def test_one_image_can_be_fitted():
    model = detector({"score_thr": 0.5}, channels=16, variant="code", deep_supervision=True)
    image, truth = torch.zeros(2, 3, 32, 32), sample((32, 32), 2)
    truth.gt_instances.masks.masks[1] = 0
    truth.gt_instances.masks.masks[1, 16:28, 18:30] = 1
    for mask in truth.gt_instances.masks.masks:
        image[:, :, torch.from_numpy(mask).bool()] = 1
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        sum(model.loss(image, [truth, truth]).values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
    # Statistics of the batch: running means have not settled after so few steps.
    with torch.no_grad():
        found = model.predict(image, [truth, truth])[0].pred_instances
    assert sorted(found.labels.tolist()) == [0, 1]
    for label, mask in enumerate(torch.from_numpy(truth.gt_instances.masks.masks).bool()):
        own = found.masks[found.labels == label][0]
        assert (own & mask).sum() / (own | mask).sum() > 0.8
