"""Segmentation of files, folders and arrays with each room."""

import gc
import json
import runpy
import weakref
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from safetensors.torch import save_file
from torch import load

from attnseg.apis import segment
from attnseg.apis.command import UsageError
from attnseg.apis.refine_predictions import read_results
from attnseg.apis.segment_files import ResultWriter, name_images
from attnseg.apis.segmentation import ClassList, Segmentation
from attnseg.apis.segmenter import Segmenter
from attnseg.coco_files import read_coco_json
from attnseg.compat import rgb2id
from attnseg.datasets.demo import CLASSES
from tests.apis.segment_rooms import PARTS, room_config, write_config, write_images, write_room
from tests.conftest import REPO

SIZES = {"colour.png": (40, 56), "deep ü.png": (40, 56), "gray.jpg": (33, 70), "tiny.png": (1, 1)}
Room = tuple[Path, Path]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def panoptic(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return write_room("panoptic", tmp_path_factory.mktemp("panoptic"))


@pytest.mark.parametrize("room", PARTS)
def test_each_room_does_each_kind_of_image(room: str, images: Path, tmp_path: Path) -> None:
    config, weights = write_room(room, tmp_path / "model")
    strokes = None
    if room == "mask_refine":
        strokes = tmp_path / "strokes"
        strokes.mkdir()
        for name, size in SIZES.items():
            Image.fromarray(np.full(size, 255, np.uint8)).save(strokes / f"{Path(name).stem}.png")
    out = tmp_path / "out"
    done = segment(images, config, weights, strokes=strokes, out_dir=out, device="cpu", score_thr=0)
    assert (done.written, done.failed) == (sorted(SIZES), {})
    index = json.loads((out / "images.json").read_text())
    assert {i["file_name"]: (i["height"], i["width"]) for i in index["images"]} == SIZES
    for name, size in SIZES.items():
        stem = Path(name).stem
        picture = np.asarray(Image.open(out / f"overlay/{stem}.png"))
        assert picture.ndim == 3 and max(picture.shape) >= 480
        if "semantic" in PARTS[room]:
            labels = np.asarray(Image.open(out / f"semantic/{stem}.png"))
            assert labels.shape == size and labels.max() < len(CLASSES)
        if "instances" in PARTS[room]:
            for record in json.loads((out / f"instances/{stem}.json").read_text()):
                assert tuple(record["segmentation"]["size"]) == size
        if "panoptic" in PARTS[room]:
            ids = rgb2id(np.asarray(Image.open(out / f"panoptic/{stem}.png")))
            assert ids.shape == size
            segments = json.loads((out / f"panoptic/{stem}.json").read_text())
            areas = dict(zip(*np.unique(ids[ids > 0], return_counts=True), strict=True))
            assert {s["id"]: s["area"] for s in segments} == areas
    folders = {path.name for path in out.iterdir() if path.is_dir()}
    assert folders == {*PARTS[room], "overlay"}
    if "instances" in PARTS[room]:
        records = read_results(out / "coco_results.json")
        assert {r["image_id"] for r in records} <= {1, 2, 3, 4}
        assert room in ("instance", "panoptic", "mask2former") or records


def test_channels_and_windows(tmp_path: Path) -> None:
    cfg = room_config("iaunet")
    cfg.test_dataloader.dataset.pipeline[0] = {"type": "attnseg.LoadImage", "channels": 5}
    cfg.test_dataloader.dataset.pipeline[1].scale = (200, 200)
    cfg.model.data_preprocessor.update(mean=None, std=None, bgr_to_rgb=False)
    cfg.model.backbone.in_channels = 5
    cfg.model.test_cfg.windows = {"size": (64, 64), "overlap": 16}
    config, weights = write_config(cfg, tmp_path)
    pixels = np.random.default_rng(0).integers(0, 4000, (5, 90, 100)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "five.tif", pixels, photometric="minisblack")
    segmenter = Segmenter(config, weights, "cpu", score_thr=0)
    result = segmenter(tmp_path / "five.tif")
    assert result.size == (90, 100) and result.image.std() > 0 and result.instances
    assert all(found.mask.shape == (90, 100) and found.mask.any() for found in result.instances)
    assert result.overlay().shape == (450, 500, 3)
    assert segmenter(np.moveaxis(pixels, 0, -1)).instances == result.instances
    with pytest.raises(ValueError, match="3 channels"):
        segmenter(np.zeros((9, 9, 3), np.uint8))


def test_one_image_and_several(panoptic: Room, images: Path) -> None:
    one = segment(images / "colour.png", *panoptic, device="cpu")
    assert one.classes == CLASSES and one.panoptic.shape == one.semantic.shape == (40, 56)
    assert {s.is_thing for s in one.segments if s.class_name in CLASSES[3:]} <= {False}
    assert all(found.score >= 0.3 for found in one.instances)
    array = cv2.imread(str(images / "colour.png"))
    results = segment([array, images / "none.png", images / "tiny.png"], *panoptic, device="cpu")
    assert isinstance(results, Iterator)
    first, missing, tiny = results
    np.testing.assert_array_equal(first.panoptic, one.panoptic)
    np.testing.assert_array_equal(first.image, array[..., ::-1])
    assert (first.name, tiny.name, tiny.size) == ("00000000", "tiny.png", (1, 1))
    assert "none.png' does not exist" in missing.error and missing.semantic is None
    with pytest.raises(FileNotFoundError, match="none.png"):
        segment(images / "none.png", *panoptic)


def test_weights_and_configs_in_other_forms(panoptic: Room, images: Path, tmp_path: Path) -> None:
    from mmengine.config import Config

    from attnseg.apis.json_config import config_text

    (tmp_path / "own.json").write_text(config_text(Config.fromfile(panoptic[0])))
    state = load(panoptic[1], weights_only=False)["state_dict"]
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "w.safetensors")
    one = segment(images / "colour.png", *panoptic, device="cpu")
    other = segment(
        str(images / "colour.png"), tmp_path / "own.json", tmp_path / "w.safetensors", device="cpu"
    )
    np.testing.assert_array_equal(other.panoptic, one.panoptic)
    # Such a file has no names.
    assert len(other.classes) == len(CLASSES)
    things = {s.label for s in other.segments if s.is_thing}
    assert things == {s.label for s in one.segments if s.is_thing}


def test_a_folder_with_bad_files(
    panoptic: Room, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "some images"
    write_images(folder / "below")
    for name in ("a.png", "a.tif", "A b.jpg"):
        Image.fromarray(np.full((30, 20, 3), 90, np.uint8)).save(folder / name)
    (folder / "text.png").write_text("no image")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("left out")
    (folder / "._a.png").write_bytes(b"left out")
    tifffile.imwrite(folder / "five.tif", np.zeros((5, 9, 9), np.uint16), photometric="minisblack")
    words = [str(folder), *map(str, panoptic), "--out", str(tmp_path / "out"), "--device", "cpu"]

    def run(*more: str) -> int:
        monkeypatch.setattr("sys.argv", ["segment.py", *words, *more])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(REPO / "tools/segment.py"), run_name="__main__")
        return end.value.code

    assert run() == 1
    shown = capsys.readouterr().out
    assert "3 images segmented" in shown and shown.count("not done: ") == 3
    for line in ("text.png: image", "empty.jpg: image", "five.tif: image"):
        assert f"not done: {line}" in shown
    found = {path.name for path in (tmp_path / "out/overlay").iterdir()}
    assert found == {"a.png.png", "a.tif.png", "A b.png"}
    index = json.loads((tmp_path / "out/images.json").read_text())
    assert set(index["failed"]) == {"text.png", "empty.jpg", "five.tif"}
    # With the results, this is what tools/refine_predictions.py takes as --ann-file.
    listed = read_coco_json(str(tmp_path / "out/images.json"), "instances")
    assert [image["id"] for image in listed["images"]] == [1, 2, 3]
    assert [category["name"] for category in listed["categories"]] == list(CLASSES)
    assert run() == 2
    assert "has files: give another, or --overwrite" in capsys.readouterr().err
    assert run("--overwrite", "--recursive") == 1
    assert "7 images segmented" in capsys.readouterr().out
    assert (tmp_path / "out/semantic/below/deep ü.png").is_file()


def test_strokes(images: Path, tmp_path: Path) -> None:
    room = write_room("mask_refine", tmp_path / "model")
    strokes = [np.zeros((40, 56), np.uint8) for _ in range(2)]
    strokes[0][5:20, 5:20] = strokes[1][25:38, 30:50] = 1
    result = segment(images / "colour.png", *room, strokes=strokes, device="cpu")
    for found, stroke in zip(result.instances, strokes, strict=True):
        np.testing.assert_array_equal(found.mask, stroke > 0)
    (tmp_path / "strokes").mkdir()
    Image.fromarray(strokes[0]).save(tmp_path / "strokes/colour.png")
    done = list(segment(images, *room, strokes=tmp_path / "strokes", device="cpu"))
    assert [one.error is None for one in done] == [True, False, False, False]
    assert "no stroke for 'gray.jpg': a PNG of its stem" in done[2].error
    for given, strokes_given, message in (
        (images / "colour.png", None, "refines strokes: give strokes"),
        (images, tmp_path / "none", "a folder of PNGs of their stems"),
        (images, tmp_path / "model", "has no stroke"),
        ([images / "colour.png"], [], "for 1 images: a list of as many"),
    ):
        with pytest.raises(UsageError, match=message):
            segment(given, *room, strokes=strokes_given, device="cpu")


def test_wrong_input_is_named(panoptic: Room, images: Path, tmp_path: Path) -> None:
    config, weights = panoptic
    one = images / "colour.png"
    (tmp_path / "empty").mkdir()
    write_images(tmp_path / "nested/below")
    for arguments, options, message in (
        ((one, "maskattn_unet/none", weights), {}, "config 'maskattn_unet/none' not found"),
        ((one, config, tmp_path / "no.pth"), {}, "no.pth' not found"),
        ((one, config), {}, "names no weights"),
        ((one, config, one), {}, "colour.png"),
        ((one, "refine_best", weights), {"strokes": one}, "do not fit MaskRefinementModel"),
        ((one, config, weights), {"cfg_options": {"model.head.num_things": 9}}, "of another shape"),
        ((one, config, weights), {"device": "cuda:77"}, "device 'cuda:77' cannot be used"),
        ((one, config, weights), {"score_thr": 30}, "scores are 0..1"),
        ((one, config, weights), {"strokes": one}, "refines no strokes"),
        ((one, config, weights), {"out_dir": one}, "cannot be written"),
        ((images, config, weights), {"out_dir": images / "out"}, "lies in the folder of the"),
        ((tmp_path / "empty", config, weights), {}, "has no image"),
        ((tmp_path / "nested", config, weights), {}, "--recursive"),
        (([], config, weights), {}, "no image was given"),
        ((3, config, weights), {}, "not int"),
    ):
        with pytest.raises(UsageError, match=message):
            segment(*arguments, **{"device": "cpu", **options})
    for given in (np.array(["a"]), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="array"):
            segment(given, config, weights, device="cpu")


def test_results_are_not_held(tmp_path: Path) -> None:
    alive: list[weakref.ref] = []

    def results() -> Iterator[Segmentation]:
        for number in range(6):
            gc.collect()
            # The one being written, and the one before, which zip still names.
            assert sum(one() is not None for one in alive) <= 2
            labels = np.zeros((4, 4), np.int32)
            result = Segmentation(f"{number}", np.zeros((4, 4, 3), np.uint8), ("a",), labels)
            alive.append(weakref.ref(result))
            yield result
            del result

    items = name_images([f"{number}.png" for number in range(6)])
    done = ResultWriter(tmp_path / "out", ClassList(("a",), (True,))).write_all(items, results())
    assert len(done.written) == 6


def test_stems_are_never_shared() -> None:
    given = ["x/a.png", "y/a.png", "a.tif", "B.jpg", "b.png", "A.PNG", np.zeros((2, 2)), "c.d.png"]
    items = name_images(given)
    stems = [item.stem.casefold() for item in items]
    assert len(set(stems)) == len(given)
    assert items[-1].stem == "c.d" and items[-2].name == "00000006"


def test_a_disk_that_is_full_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = ResultWriter(tmp_path / "out", ClassList(("a",), (True,)))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("attnseg.apis.segment_files.write_class_png", full)
    result = Segmentation("a", np.zeros((4, 4, 3), np.uint8), ("a",), np.zeros((4, 4), np.int32))
    with pytest.raises(UsageError, match="cannot be written: No space left"):
        writer.write_all(name_images(["a.png"]), [result])
