"""Strokes until a mask is exact, with a model that gives back what is painted."""

import argparse
import json
import shutil

import numpy as np
import pytest

from attnseg.apis import stroke_count
from attnseg.apis.command import UsageError
from attnseg.apis.experiment import build_config
from attnseg.apis.refiner import MaskRefiner
from attnseg.apis.stroke_count import (
    Curve,
    count_strokes,
    describe,
    paint_object,
    strokes_to,
    summarize,
)
from attnseg.mask_refine.correction_strokes import Correction
from tests.apis.refine_factory import write_model

IMAGE = np.zeros((40, 60, 3), dtype=np.uint8)


def box(top, bottom, left, right):
    mask = np.zeros(IMAGE.shape[:2], dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


def test_each_stroke_paints_the_core_of_the_largest_error(files):
    refiner = MaskRefiner(*files)
    truth = box(0, 20, 0, 40)
    # A bar of 10 rows is missing: its core of 6 rows and 36 columns is painted first.
    ious = paint_object(refiner, IMAGE, box(0, 10, 0, 40), truth, strokes=3)
    assert ious[:2] == [0.5, pytest.approx((400 + 6 * 36) / 800)]
    assert len(ious) == 3 and ious[2] > ious[1]


def test_the_user_stops_at_the_goal_and_where_nothing_is_wrong(files):
    refiner = MaskRefiner(*files)
    truth = box(0, 20, 0, 40)
    assert paint_object(refiner, IMAGE, truth, truth, strokes=9) == [1.0]
    assert paint_object(refiner, IMAGE, box(0, 19, 0, 40), truth, 9, goal=0.9) == [0.95]


def test_a_later_stroke_takes_the_place_of_an_earlier_one(monkeypatch):
    strokes = iter([Correction(box(0, 4, 0, 8), True), Correction(box(0, 2, 0, 8), False)])
    monkeypatch.setattr(stroke_count, "next_correction", lambda *_: next(strokes))
    calls = []

    def refine(image, stroke, add=None, remove=None):
        calls.append((add, remove))
        return stroke

    paint_object(refine, IMAGE, box(0, 9, 0, 9), box(0, 20, 0, 40), strokes=3)
    add, remove = calls[-1]
    assert np.array_equal(add, box(2, 4, 0, 8)) and np.array_equal(remove, box(0, 2, 0, 8))


def test_a_first_stroke_that_misses_is_taken_back(files):
    refiner = MaskRefiner(*files)
    ious = paint_object(refiner, IMAGE, box(30, 40, 50, 60), box(0, 2, 0, 2), strokes=6)
    assert ious[0] == 0 and ious[-1] > 0


def test_strokes_to_a_goal():
    assert strokes_to([0.5, 0.92, 0.97], 0.9, 20) == 2
    assert strokes_to([0.95], 0.9, 20) == 1
    assert strokes_to([0.5, 0.6], 0.9, 20) == 20
    assert strokes_to([0.5, 0.6, 0.95], 0.9, 2) == 2


def test_summary():
    curves = [Curve(1, 1, [0.91]), Curve(1, 2, [0.5, 0.96]), Curve(2, 3, [0.3, 0.4, 0.5])]
    found = summarize(curves, most=3)
    assert (found["objects"], found["images"]) == (3, 2)
    assert found["NoC@90"][0] == pytest.approx((1 + 2 + 3) / 3)
    assert found["NoC@95"][0] == pytest.approx((3 + 2 + 3) / 3)
    assert (found["failed@90"], found["failed@95"]) == (1, 2)
    # One that stopped keeps its last IoU.
    assert found["IoU after 3"][0] == pytest.approx((0.91 + 0.96 + 0.5) / 3)
    low, high = found["NoC@90"][1:]
    # Images are drawn, not objects: one of them alone gives 1.5 or 3.
    assert (low, high) == (1.5, 3.0)
    assert "NoC@90" in describe(found) and "failed@95" in describe(found)


def test_counts_on_the_test_set_of_a_config(files, demo_set, tmp_path):
    out = tmp_path / "strokes.json"
    found = count_strokes(*files, data=str(demo_set), strokes=4, objects=3, out=out)
    again = count_strokes(*files, data=str(demo_set), strokes=4, objects=3)
    assert found == again
    assert found["objects"] == 3 and 1 <= found["NoC@90"][0] <= found["NoC@95"][0] <= 4
    written = json.loads(out.read_text())
    assert written["summary"] == found and len(written["objects"]) == 3
    assert found["IoU after 4"][0] > found["IoU after 1"][0]


def outside(config, demo_set, folder, keep):
    """The demo set; all but the first ``keep`` objects lie beside their image."""
    shutil.copytree(demo_set, folder)
    dataset = build_config(config).test_dataloader.dataset
    file = folder / dataset.ann_file
    content = json.loads(file.read_text())
    for ann in content["annotations"][keep:]:
        ann["segmentation"] = [[9000, 9000, 9100, 9000, 9100, 9100]]
    file.write_text(json.dumps(content))
    return str(folder)


def test_objects_without_a_pixel_are_left_out_and_counted(files, demo_set, tmp_path):
    data = outside(files[0], demo_set, tmp_path / "some", keep=2)
    found = count_strokes(*files, data=data, strokes=2)
    assert found["objects"] == 2 and found["skipped"] > 0
    assert f"{found['skipped']} more left out" in describe(found)
    with pytest.raises(UsageError, match="none of its 3 objects has a pixel"):
        data = outside(files[0], demo_set, tmp_path / "none", keep=0)
        count_strokes(*files, data=data, strokes=2, objects=3)


def test_the_device_is_chosen(files, demo_set):
    parser = argparse.ArgumentParser()
    stroke_count.add_arguments(parser)
    arguments = parser.parse_args([str(files[0]), str(files[1]), "--device", "nowhere"])
    with pytest.raises(UsageError, match="nowhere|device"):
        count_strokes(**vars(arguments) | {"data": str(demo_set)})


def test_wrong_numbers_are_named(files, demo_set):
    with pytest.raises(UsageError, match=r"strokes \(0\)"):
        count_strokes(*files, data=str(demo_set), strokes=0)
