"""Predictions equal to those of mmdet's SOLOv2 head, in bounded memory."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from attnseg.cspam_solov2 import postprocess
from attnseg.cspam_solov2.postprocess import PostprocessConfig
from tests.cspam_solov2 import scenes


def outputs(seed: int, size: tuple[int, int] = (16, 24), bias: float = -1.0) -> tuple:
    torch.manual_seed(seed)
    kernels = [torch.randn(2, 8, grid, grid) for grid in (7, 5, 3)]
    classes = [2 * torch.randn(2, 3, grid, grid) + bias for grid in (7, 5, 3)]
    # Smooth, so that masks have some extent.
    feats = torch.nn.functional.interpolate(torch.randn(2, 8, 4, 5), size, mode="bilinear")
    return kernels, classes, feats


def metas(ori: tuple[int, int] = (61, 90), img: tuple[int, int] = (61, 90)) -> list[dict]:
    return [{"ori_shape": ori, "img_shape": img}] * 2


def both(seed: int, shapes: dict | None = None, size: tuple[int, int] = (16, 24), **cfg: object):
    test_cfg = {**scenes.TEST_CFG, **cfg}
    for head in (scenes.ours(test_cfg=test_cfg), scenes.theirs(test_cfg=ConfigDict(test_cfg))):
        yield head.predict_by_feat(*outputs(seed, size), metas(**(shapes or {})))


def same(ours: list[InstanceData], theirs: list[InstanceData]) -> int:
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a.labels, b.labels.long())
        torch.testing.assert_close(a.scores, b.scores, rtol=1e-6, atol=0)
        assert torch.equal(a.masks, b.masks.bool())
        assert a.labels.dtype == torch.int64
        assert a.masks.dtype == torch.bool
    return sum(len(one) for one in ours)


@pytest.mark.parametrize("chunk", [1, 1000, 2**24])
@pytest.mark.parametrize(
    "cfg",
    [
        {},
        {"nms_pre": -1, "max_per_img": -1, "filter_thr": -1},
        {"kernel": "linear", "nms_pre": 5},
        {"mask_thr": 0.7, "score_thr": 0.4},
    ],
    ids=str,
)
def test_instances_are_mmdets(cfg: dict, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postprocess, "_CHUNK", chunk)
    found = [same(*both(seed, **cfg)) for seed in range(3)]
    assert min(found) > 0


def test_padding_is_cut_and_the_original_size_restored() -> None:
    shapes = {"img": (50, 77), "ori": (133, 201)}
    assert same(*both(0, shapes)) > 0
    assert same(*both(1, {"img": (64, 96), "ori": (5, 3)})) > 0


@pytest.mark.parametrize("cfg", [{"score_thr": 1.0}, {"mask_thr": 1.0}, {"filter_thr": 1.0}])
def test_empty_results_have_right_types(cfg: dict) -> None:
    ours, theirs = both(0, **cfg)
    for a, b in zip(ours, theirs, strict=True):
        assert len(a) == len(b) == 0
        assert a.masks.shape == (0, 61, 90) and a.masks.dtype == torch.bool
        assert a.labels.shape == (0,) and a.labels.dtype == torch.int64
        assert a.scores.shape == (0,) and a.scores.dtype == torch.float32
        assert a.bboxes.shape == (0, 4) and a.bboxes.dtype == torch.float32


def test_boxes_are_those_of_the_masks() -> None:
    ours, _ = both(0)
    for one in ours:
        for mask, box in zip(one.masks, one.bboxes, strict=True):
            y, x = mask.nonzero(as_tuple=True)
            assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]


def test_no_chunk_holds_all_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postprocess, "_CHUNK", 4 * 16 * 24)
    largest = 0
    sigmoid = Tensor.sigmoid

    def watch(x: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, x.numel())
        return sigmoid(x)

    monkeypatch.setattr(Tensor, "sigmoid", watch)
    scenes.ours(test_cfg={**scenes.TEST_CFG, "score_thr": 0.0}).predict_by_feat(
        *outputs(0), metas()
    )
    assert largest == 4 * 16 * 24


def test_half_precision_gives_finite_scores() -> None:
    kernels, classes, feats = outputs(0)
    head = scenes.ours()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = head.predict_by_feat(
            [k.bfloat16() for k in kernels],
            [c.bfloat16() for c in classes],
            feats.bfloat16(),
            metas(),
        )
    assert all(one.scores.dtype == torch.float32 and one.scores.isfinite().all() for one in found)
    assert sum(map(len, found)) > 0


def test_predict_runs_from_maps_to_instances() -> None:
    head = scenes.ours(test_cfg={**scenes.TEST_CFG, "score_thr": 0.0}).eval()
    samples = [scenes.sample(scenes.truth((61, 90), 2), (64, 96)) for _ in "ab"]
    with torch.no_grad():
        found = head.predict(scenes.maps((64, 96)), samples)
    assert [tuple(one.masks.shape[1:]) for one in found] == [(61, 90)] * 2


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"kernel": "box"}, "kernel 'box' is unknown; choose gaussian or linear"),
        ({"score_thr": 2}, "score_thr must be a number from 0 to 1, got 2"),
        ({"mask_thr": "x"}, "mask_thr must be a number from 0 to 1, got 'x'"),
        ({"iou": 1}, r"unknown keys \['iou'\]; known are \['nms_pre'"),
    ],
)
def test_bad_settings_are_named(values: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        PostprocessConfig.from_dict(values)
