"""Worst images, their pictures, and the truth that belongs to them."""

import base64
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attnseg.evaluation.functional.area import AreaStatistics
from attnseg.evaluation.submission.class_png import write_class_png
from attnseg.evaluation.submission.saved import SavedImage, write_index
from attnseg.file_hash import files_hash
from attnseg.leaderboard.columns import Column
from attnseg.leaderboard.overlays import Album, image_scores, run_images, worst_images
from attnseg.leaderboard.pictures import image_uri, overlay_uri
from attnseg.leaderboard.records import Record, read_record
from attnseg.leaderboard.truth import Truth
from attnseg.per_image import ImageRef, PerImageTable
from tests.leaderboard.factory import CLASSES, SETTINGS, measured_run, record, table, write_run

MIOU = Column("semantic/mIoU", lower=False, percent=True)


def pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def stripes(shift: int = 0) -> np.ndarray:
    labels = np.repeat(np.arange(3), 10)[None].repeat(20, axis=0)
    return np.roll(labels, shift, axis=1)


@pytest.fixture
def run(tmp_path: Path) -> Record:
    """Three images; the prediction of the second is most wrong, the file of the third is gone."""
    shifts, stats, saved, refs = (1, 6, 3), [], [], []
    data = tmp_path / "data"
    for folder in ("images/val", "annotations/val"):
        (data / folder).mkdir(parents=True)
    for index, shift in enumerate(shifts):
        truth, predicted = stripes(), stripes(shift)
        path = data / "images" / "val" / f"{index}.png"
        if index != 2:
            Image.fromarray(np.full((20, 30, 3), 200, np.uint8)).save(path)
        write_class_png(data / "annotations" / "val" / f"{index}.png", truth, 3)
        write_class_png(tmp_path / "saved" / "semantic" / f"{index}.png", predicted, 3)
        saved.append(SavedImage(None, str(path), str(index), (20, 30), ("semantic",)))
        refs.append(ImageRef(None, str(path)))
        pred, label = (np.bincount(x.ravel(), minlength=3) for x in (predicted, truth))
        both = np.bincount(truth[truth == predicted], minlength=3)
        stats.append((both, pred + label - both, pred, label))
    write_index(tmp_path / "saved", CLASSES, [False] * 3, None, saved)
    arrays = AreaStatistics(*(np.array(part) for part in zip(*stats, strict=True)))._asdict()
    statistics = PerImageTable("SemanticMetric", "semantic", SETTINGS, CLASSES, tuple(refs), arrays)
    content = record(
        "a",
        {"semantic/mIoU": {"value": 0.5}},
        predictions=str(tmp_path / "saved"),
        data={"hash": files_hash((data / "annotations" / "val").iterdir())},
    )
    return read_record(write_run(tmp_path / "run", content, statistics))


def test_scores_of_single_images_are_those_of_tables_of_one() -> None:
    whole = table(0.6, images=130)
    found = image_scores(whole, "mIoU")
    i, u = whole.arrays["intersect"], whole.arrays["union"]
    np.testing.assert_allclose(found, (i / u).mean(axis=1), rtol=1e-14)


def test_detections_are_scored_in_parts(tmp_path: Path) -> None:
    images, generator = 130, np.random.default_rng(0)
    rows = 600
    arrays = {
        "det_image": np.sort(generator.integers(0, images, rows)),
        "det_class": np.zeros(rows, int),
        "det_score": generator.random(rows),
        "det_rank": np.zeros(rows, int),
        "det_matched": np.zeros((rows, 1), np.uint16),
        "det_ignored": np.zeros((rows, 1), np.uint16),
        "gt_image": np.arange(images),
        "gt_class": np.zeros(images, int),
        "gt_count": np.full((images, 1), 3),
        "is_thing": np.array([True]),
    }
    good = generator.random(images) < 0.5
    first = np.unique(arrays["det_image"], return_index=True)[1]
    arrays["det_matched"][first[good[arrays["det_image"][first]]]] = 1023
    settings = {"max_dets": [100], "area_ranges": {}}
    refs = tuple(ImageRef(index, "") for index in range(images))
    whole = PerImageTable("CocoInstanceMetric", "coco", settings, ("cell",), refs, arrays)
    found = image_scores(whole, "AP")
    assert found.shape == (images,)
    detected = np.isin(np.arange(images), arrays["det_image"])
    np.testing.assert_array_equal(found > 0, good & detected)


def test_the_worst_come_first(run: Record) -> None:
    _, found = worst_images(run, MIOU, 2)
    assert [item.name for item in found] == ["1.png", "2.png"]
    assert found[0].score == pytest.approx(np.mean([4 / 16] * 3))


def test_cards_have_pictures_and_name_what_is_gone(run: Record) -> None:
    album = Album(10**6)
    content = run_images(run, MIOU, 3, album)
    worst, gone, best = content["cards"]
    assert "2.png' does not exist any more" in gone["note"]
    assert content["notes"] == []
    for card in (worst, best):
        assert pixels(album.pictures[card["image"]]).shape == (20, 30, 3)
        truth, predicted = (pixels(album.pictures[card[key]]) for key in ("truth", "prediction"))
        assert truth.shape == (20, 30, 4)
        assert len(np.unique(truth[..., :3].reshape(-1, 3), axis=0)) == 3
        assert (truth[:, 0] != predicted[:, 0]).any()
    # The same class has the same colour in both.
    shift = 1
    np.testing.assert_array_equal(truth[5, 5, :3], predicted[5, 5 + shift, :3])


def test_without_predictions_the_page_says_how_to_get_them(tmp_path: Path) -> None:
    found = run_images(read_record(measured_run(tmp_path, "a", 0.6)), MIOU, 2, Album(10**6))
    assert "--save-predictions DIR" in " ".join(found["notes"])
    assert len(found["cards"]) == 2


def test_damaged_predictions_are_named(run: Record, tmp_path: Path) -> None:
    (tmp_path / "saved" / "semantic" / "1.png").write_bytes(b"\x89PNG")
    content = run_images(run, MIOU, 1, Album(10**6))
    assert "semantic/1.png' is damaged" in content["notes"][0]
    assert "prediction" not in content["cards"][0] and content["cards"][0]["truth"]
    (tmp_path / "saved" / "index.json").write_text("{")
    assert "index.json' is damaged" in run_images(run, MIOU, 1, Album(10**6))["notes"][0]


def test_pictures_stay_below_the_limit(run: Record) -> None:
    album = Album(1500)
    content = run_images(run, MIOU, 3, album)
    assert 0 < album.size <= 1500 and album.full
    assert "--image-mib" in " ".join(content["notes"])


@pytest.mark.parametrize("changed", ["1.png", "2.png"])
def test_truth_of_other_data_is_not_drawn(run: Record, tmp_path: Path, changed: str) -> None:
    # Mirrored, each class keeps its area; any map of the data set may be the changed one.
    file = tmp_path / "data" / "annotations" / "val" / changed
    write_class_png(file, stripes()[:, ::-1], 3)
    content = run_images(run, MIOU, 1, Album(10**6))
    assert "truth" not in content["cards"][0]
    assert "found: no truth" in " ".join(content["notes"])


def test_truth_is_read_as_the_run_read_it(run: Record, tmp_path: Path) -> None:
    table, (worst, *_) = worst_images(run, MIOU, 1)
    maps = tmp_path / "data" / "annotations" / "val"
    for file in maps.iterdir():
        write_class_png(file, stripes() + 1, 4)
    truth = Truth("val", files_hash(maps.iterdir()), CLASSES, table.images)
    areas = table.arrays["label"][worst.position]
    np.testing.assert_array_equal(truth.find(worst.image, areas).index, stripes())
    # Classes that were merged or renumbered are not guessed.
    assert truth.find(worst.image, areas + [10, -10, 0]) is None


@pytest.mark.parametrize("value", [300, -1])
def test_an_impossible_palette_does_not_stop_the_page(
    run: Record, tmp_path: Path, value: int
) -> None:
    index = tmp_path / "saved" / "index.json"
    content = json.loads(index.read_text()) | {"palette": [[value, 0, 0]] * 3}
    index.write_text(json.dumps(content))
    found = run_images(run, MIOU, 1, Album(10**6))
    assert "values outside 0 to 255" in found["notes"][0]
    assert found["cards"][0]["truth"] and "prediction" not in found["cards"][0]


def test_coco_truth_needs_the_hash_of_the_record(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    file = tmp_path / "annotations" / "instances_val.json"
    content = {
        "images": [{"id": 7, "file_name": "x.png", "height": 10, "width": 12}],
        "categories": [{"id": 3, "name": "cell"}],
        "annotations": [
            {
                **{"id": i, "image_id": 7, "category_id": 3, "iscrowd": 0, "area": 9},
                **{"bbox": [x, 2, 3, 3], "segmentation": [[x, 2, x + 3, 2, x + 3, 5, x, 5]]},
            }
            for i, x in ((1, 1), (2, 6))
        ],
    }
    file.write_text(json.dumps(content))
    image = ImageRef(7, str(tmp_path / "images" / "val" / "x.png"))
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    assert Truth("instances_val.json", "0" * 64, ("cell",)).find(image) is None
    found = Truth("instances_val.json", right, ("cell",)).find(image)
    assert found.labels == [0, 0] and found.things == [True, True]
    assert (found.index[3, 2], found.index[3, 7], found.index[8, 8]) == (0, 1, -1)


def test_sixteen_bits_and_tiny_images_are_shown(tmp_path: Path) -> None:
    ramp = np.linspace(1000, 3000, 64).reshape(8, 8).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "x.png")
    shown = pixels(image_uri(tmp_path / "x.png"))
    assert shown.min() < 20 and shown.max() > 235
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(tmp_path / "y.png")
    assert pixels(image_uri(tmp_path / "y.png")).shape == (1, 1, 3)
    (tmp_path / "z.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="z.png' cannot be decoded"):
        image_uri(tmp_path / "z.png")


@pytest.mark.parametrize("size", [6, 8, 100])
def test_cut_images_are_named(tmp_path: Path, size: int) -> None:
    file = tmp_path / "x.tif"
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(file)
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ValueError, match="x.tif' cannot be decoded"):
        image_uri(file)


def test_images_too_large_for_pillow_are_named(
    run: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    content = run_images(run, MIOU, 1, Album(10**6))
    assert "1.png' cannot be decoded" in content["cards"][0]["note"]
    table, (worst, *_) = worst_images(run, MIOU, 1)
    truth = Truth("val", run.get("data.hash"), CLASSES, table.images)
    assert truth.find(worst.image, table.arrays["label"][worst.position]) is None


def test_overlays_shrink_and_leave_nothing_transparent() -> None:
    segments = np.full((400, 800), -1)
    segments[:, 400:] = 0
    shown = pixels(overlay_uri(segments, [(255, 0, 0)], side=100))
    assert shown.shape == (50, 100, 4)
    assert (shown[:, :50, 3] == 0).all() and (shown[:, 51:] == (255, 0, 0, 150)).all()
