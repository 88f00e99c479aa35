"""Matching of detections to objects: pycocotools' evaluateImg on cases full of ties."""

import numpy as np
import pytest
from hypothesis import example, given, settings

from attnseg.evaluation.functional.matching import (
    IOU_THRESHOLDS,
    area_limits,
    match_class,
    match_image,
)
from tests.evaluation.coco_cases import (
    AREAS,
    CLASSES,
    MAX_DETS,
    Detection,
    Image,
    Object,
    images,
    pycocotools_evaluation,
    records,
)

LIMITS = area_limits(AREAS)
T = len(IOU_THRESHOLDS)
ALL = (1 << T) - 1
# Equal IoU with two objects, an object under a crowd, more detections than take part.
TIES = Image(
    [Object(0, (0, 0, 2, 2)), Object(0, (2, 0, 2, 2)), Object(0, (0, 0, 4, 4), crowd=True)],
    [Detection(0, (1, 0, 2, 2), 0.5), Detection(0, (0, 0, 4, 2), 0.5)]
    + [Detection(0, (0, 0, 2, 2), 0.5)] * 4,
)


def _bits(flags: np.ndarray) -> np.ndarray:
    return (flags.astype(int) << np.arange(T)[:, None]).sum(axis=0)


@settings(deadline=None, max_examples=150)
@given(images(least=1))
@example([TIES])
def test_agrees_with_pycocotools(case: list[Image]) -> None:
    evaluation = pycocotools_evaluation(case, [1] * len(case))
    per_image = np.array(evaluation.evalImgs, dtype=object)
    per_image = per_image.reshape(len(CLASSES), len(LIMITS), len(case))
    for i, image in enumerate(case):
        found = match_image(
            records(image.objects, 0, 1),
            records(image.detections, 0, 1),
            MAX_DETS[-1],
            LIMITS,
            "bbox",
        )
        for label in range(len(CLASSES)):
            rows = np.flatnonzero(found.det_class == label)
            counts = found.gt_count[found.gt_class == label].reshape(-1, len(LIMITS)).sum(axis=0)
            assert found.det_rank[rows].tolist() == list(range(len(rows)))
            for a, expected in enumerate(per_image[label, :, i]):
                if expected is None:
                    assert not len(rows) and not counts.any()
                    continue
                assert found.det_score[rows].tolist() == expected["dtScores"]
                assert counts[a] == np.count_nonzero(expected["gtIgnore"] == 0)
                matched = _bits(expected["dtMatches"] > 0)
                assert found.det_matched[rows, a].tolist() == matched.tolist()
                assert found.det_ignored[rows, a].tolist() == _bits(expected["dtIgnore"]).tolist()


def _match(ious, crowd=None, ignored=None, outside=None) -> tuple[list[int], list[int]]:
    ious = np.array(ious, dtype=float)
    detections, objects = ious.shape
    crowd = np.zeros(objects, bool) if crowd is None else np.array(crowd, bool)
    ignored = crowd if ignored is None else np.array(ignored, bool)
    outside = np.zeros(detections, bool) if outside is None else np.array(outside, bool)
    matched, skipped = match_class(ious, crowd, ignored[None], outside[None])
    return matched[:, 0].tolist(), skipped[:, 0].tolist()


def test_greedy_by_score() -> None:
    """The first detection takes the better object; the second gets it only where it is free."""
    matched, ignored = _match([[0.60, 0.74], [0.0, 0.99]])
    # 0.74 reaches the thresholds .50 to .70; above them the second finds the object free.
    assert matched == [0b0000011111, 0b1111100000]
    assert ignored == [0, 0]


def test_object_that_counts_goes_before_a_better_ignored_one() -> None:
    matched, ignored = _match([[0.9, 0.55], [0.9, 0.0]], ignored=[True, False])
    # At 0.50 and 0.55 the first takes the object that counts and leaves the ignored one to the
    # second; at 0.60 to 0.90 it takes the ignored one itself.
    assert matched == [0b0111111111, 0b0000000011]
    assert ignored == [0b0111111100, 0b0000000011]


def test_crowds_take_any_number() -> None:
    matched, ignored = _match([[0.8], [0.8]], crowd=[True])
    assert matched == ignored == [0b0001111111] * 2
    matched, ignored = _match([[0.8], [0.8]], ignored=[True])
    assert matched == ignored == [0b0001111111, 0]


def test_detections_of_another_size_are_ignored_unless_they_match() -> None:
    matched, ignored = _match([[0.6], [0.0]], outside=[True, True])
    assert matched == [0b111, 0]
    assert ignored == [ALL ^ 0b111, ALL]


def test_thresholds_are_reached_by_equality() -> None:
    assert _match([[0.5]])[0] == [1]
    assert _match([[0.5 - 1e-9]])[0] == [0]


@pytest.mark.parametrize("detections", [0, 3])
def test_nothing_to_match(detections: int) -> None:
    empty = match_image([], [], 5, LIMITS, "segm")
    assert [len(field) for field in empty] == [0] * 7
    assert empty.det_matched.shape == empty.gt_count.shape == (0, 3)
    matched, ignored = match_class(
        np.zeros((detections, 0)), np.zeros(0, bool), np.zeros((3, 0), bool),
        np.zeros((3, detections), bool),
    )  # fmt: skip
    assert matched.shape == ignored.shape == (detections, 3)
    assert not matched.any() and not ignored.any()


def test_objects_without_detections_are_counted() -> None:
    objects = [Object(1, (0, 0, 2, 2)), Object(1, (0, 0, 4, 4)), Object(0, (0, 0, 1, 1), True)]
    found = match_image(records(objects, 0, 1), [], 5, LIMITS, "bbox")
    assert found.gt_class.tolist() == [1]
    assert found.gt_count.tolist() == [[2, 1, 1]]
