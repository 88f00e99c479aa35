import numpy as np
import pytest
import torch
from faster_coco_eval import mask as rle_tools
from torch import Tensor
from torch.nn.functional import interpolate

from attnseg.iaunet.postprocess import (
    PostprocessConfig,
    Selected,
    select,
    to_instances,
)
from attnseg.iaunet.restore import restore
from attnseg.iaunet.windows import WindowConfig

CONFIG = PostprocessConfig()


def smooth_logits(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Cones with the value 0 on an ellipse, some of them beyond the border."""
    generator = torch.Generator().manual_seed(seed)
    rows, cols = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    values = []
    for _ in range(count):
        cy, cx, a, b = torch.rand(4, generator=generator).tolist()
        y, x = (rows + 0.5) / height - cy, (cols + 0.5) / width - cx
        values.append(1 - ((y / (0.05 + 0.2 * a)) ** 2 + (x / (0.05 + 0.2 * b)) ** 2).sqrt())
    return 6 * torch.stack(values)


def random_queries(queries: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    class_logits = 2 * torch.randn(queries, classes + 1, generator=generator)
    return class_logits, smooth_logits(queries, 30, 42, seed)


def reference_select(
    class_logits: Tensor, mask_logits: Tensor, cfg: PostprocessConfig
) -> list[tuple[int, float, int]]:
    """Spec C.4 pair by pair: label, score and query of what is kept."""
    queries, classes = class_logits.shape[0], class_logits.shape[1] - 1
    p_class = class_logits.double().softmax(-1)
    p_mask = mask_logits.double().sigmoid()
    pairs = [(p_class[q, c].item(), q, c) for q in range(queries) for c in range(classes)]
    pairs = sorted(pairs, key=lambda pair: -pair[0])[: cfg.max_per_img]
    found = []
    for confidence, q, c in pairs:
        inside = p_mask[q] > cfg.mask_thr
        maskness = p_mask[q][inside].mean().item() if inside.any() else 0.0
        if confidence * maskness > cfg.score_thr:
            found.append((c, confidence * maskness, q))
    kept: list[tuple[int, float, int]] = []
    for c, score, q in sorted(found, key=lambda one: -one[1]):
        mask = p_mask[q] > cfg.mask_thr
        for other_c, _, other in kept:
            rival = p_mask[other] > cfg.mask_thr
            if other_c == c and (mask & rival).sum() / (mask | rival).sum() > cfg.nms_iou:
                break
        else:
            kept.append((c, score, q))
    return kept


@pytest.mark.parametrize(
    ("queries", "classes", "options"),
    [
        (20, 1, {}),
        (12, 3, {"nms_iou": 0.3}),
        (12, 3, {"max_per_img": 500, "score_thr": 0.0, "nms_iou": 0.2}),
        (30, 2, {"max_per_img": 7, "mask_thr": 0.3, "nms_iou": 0.1}),
        (15, 2, {"score_thr": 0.3, "mask_thr": 0.8}),
    ],
)
def test_select_equals_the_pairwise_definition(queries: int, classes: int, options: dict) -> None:
    class_logits, mask_logits = random_queries(queries, classes)
    cfg = PostprocessConfig(**options)
    expected = reference_select(class_logits, mask_logits, cfg)
    found = select(class_logits, mask_logits, cfg)
    assert 0 < len(expected) < queries * classes
    assert found.labels.tolist() == [label for label, _, _ in expected]
    assert found.scores.tolist() == pytest.approx([score for _, score, _ in expected], rel=1e-5)
    assert torch.equal(found.mask_logits, mask_logits[[q for _, _, q in expected]])


def test_score_is_confidence_times_maskness() -> None:
    # Class probability 0.6; inside the mask the probabilities 0.9 and 0.7.
    class_logits = torch.tensor([[0.6, 0.4]]).log()
    p = torch.tensor([[[0.9, 0.7, 0.4, 0.1]]])
    found = select(class_logits, (p / (1 - p)).log(), CONFIG)
    assert found.scores.tolist() == pytest.approx([0.6 * 0.8])


def test_select_without_instances() -> None:
    class_logits, mask_logits = random_queries(5, 2)
    nothing = torch.tensor([[-9.0, -9.0, 9.0]]).expand(5, 3)
    for found in (
        select(nothing, mask_logits, CONFIG),
        select(class_logits, torch.full_like(mask_logits, -3), CONFIG),
    ):
        assert found.labels.shape == found.scores.shape == (0,)
        assert found.mask_logits.shape == (0, 30, 42)
        instances = to_instances(found, (120, 168), (100, 160), (77, 91), CONFIG)
        assert instances.masks.shape == (0, 77, 91)
        assert instances.bboxes.shape == (0, 4)
        coded = PostprocessConfig(rle=True)
        assert to_instances(found, (120, 168), (100, 160), (77, 91), coded).masks == []


def test_order_of_the_queries_does_not_matter() -> None:
    class_logits, mask_logits = random_queries(20, 2)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    one = select(class_logits, mask_logits, CONFIG)
    two = select(class_logits[order], mask_logits[order], CONFIG)
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_give_finite_float32(dtype: torch.dtype) -> None:
    class_logits, mask_logits = random_queries(20, 2)
    mask_logits[:, 0, 0] = torch.inf
    mask_logits[:, 4, 4] = -torch.inf
    with torch.autocast("cpu", dtype=dtype):
        found = select(class_logits.to(dtype), mask_logits.to(dtype), CONFIG)
        masks = restore(found.mask_logits, (120, 168), (120, 168), (120, 168))
    assert len(found.scores)
    assert found.scores.dtype == found.mask_logits.dtype == torch.float32
    assert found.scores.isfinite().all()
    exact = interpolate(found.mask_logits[None].clamp(-1e5, 1e5), (120, 168), mode="bilinear")[0]
    assert masks.any((1, 2)).all()
    assert torch.equal(masks, exact > 0)


def test_objects_in_the_padding_are_dropped() -> None:
    logits = torch.full((2, 8, 8), -5.0)
    logits[0, 6:, :] = 5
    logits[1, 1:3, 2:5] = 5
    found = Selected(torch.tensor([4, 7]), torch.tensor([0.9, 0.8]), logits)
    for rle in (False, True):
        instances = to_instances(found, (32, 32), (20, 32), (20, 32), PostprocessConfig(rle=rle))
        assert instances.labels.tolist() == [7]
        assert instances.scores.tolist() == pytest.approx([0.8])
        assert instances.bboxes.tolist() == [[8, 4, 20, 12]]


@pytest.mark.parametrize("original", [(77, 131), (300, 211), (20, 30)])
def test_rle_equals_the_tensor(original: tuple[int, int]) -> None:
    found = select(*random_queries(20, 2), CONFIG)
    sizes = ((120, 168), (100, 160), original)
    plain = to_instances(found, *sizes, CONFIG)
    coded = to_instances(found, *sizes, PostprocessConfig(rle=True))
    assert len(plain) > 3
    assert len(coded) == len(plain)
    for rle, mask in zip(coded.masks, plain.masks, strict=True):
        assert rle == rle_tools.encode(np.asfortranarray(mask.numpy(), dtype=np.uint8))
    assert torch.equal(coded.bboxes, plain.bboxes)
    for box, rle in zip(plain.bboxes.tolist(), coded.masks, strict=True):
        x, y, width, height = rle_tools.toBbox(rle)
        assert box == [x, y, x + width, y + height]
    assert torch.equal(coded.scores, plain.scores)
    assert torch.equal(coded.labels, plain.labels)


def test_config_from_a_dict() -> None:
    assert PostprocessConfig.from_dict(None) == CONFIG
    cfg = PostprocessConfig.from_dict(
        {"max_per_img": 400, "windows": {"size": [512, 256], "overlap": 64}}
    )
    assert cfg.max_per_img == 400
    assert cfg.windows == WindowConfig((512, 256), 64)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nms_thr": 0.5}, r"unknown keys \['nms_thr'\]; known are \['score_thr'"),
        ({"score_thr": 1.0}, "score_thr must be from 0 to below 1, got 1.0"),
        ({"nms_iou": 1.5}, "nms_iou must be from 0 to 1"),
        ({"max_per_img": 0}, "max_per_img must be a whole number, at least 1, got 0"),
        ({"max_per_img": "10"}, "max_per_img must be a whole number, at least 1, got '10'"),
        ({"max_per_img": 10.5}, "max_per_img must be a whole number, at least 1, got 10.5"),
        ({"score_thr": None}, "score_thr must be from 0 to below 1, got None"),
        ({"nms_iou": "0.5"}, "nms_iou must be from 0 to 1, got '0.5'"),
        ({"mask_thr": True}, "mask_thr must be between 0 and 1, got True"),
        ({"rle": "yes"}, "rle must be True or False, got 'yes'"),
        ({"mask_thr": 0.0}, "mask_thr must be between 0 and 1"),
        ({"windows": {"stride": 3}}, r"windows has unknown keys \['stride'\]"),
        ({"windows": {"size": (64, 64), "overlap": 64}}, "overlap must be .* below .* 64"),
        ({"windows": {"size": 64}}, "size"),
        ({"windows": 512}, "windows must be"),
    ],
)
def test_config_errors(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PostprocessConfig.from_dict(values)


def test_a_query_that_is_not_a_number_costs_no_other_its_place():
    classes = torch.tensor([[torch.nan, 0], [9, -9], [8, -8], [-9, 9]])
    masks = torch.full((4, 8, 8), -9.0)
    for i in range(4):
        masks[i, 2 * i : 2 * i + 2] = 9
    assert len(select(classes, masks, PostprocessConfig()).labels) == 2
