"""PredictionWriter: what a test predicts comes back from the folder, and nothing is lost."""

import errno
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.dist import init_dist
from mmengine.registry import METRICS as ROOT_METRICS

from attnseg.compat import setup_env
from attnseg.evaluation.prediction_writer import PredictionWriter
from attnseg.evaluation.submission.saved import SavedPredictions, read_predictions

META = {"classes": ("a", "b", "c"), "thing_classes": ("a", "b"), "palette": [[1, 2, 3]] * 3}
SIZE = (7, 12)


def _sample(index: int, path: str | None = None, **more: Any) -> dict[str, Any]:
    rng = np.random.default_rng(index)
    masks = rng.random((4, *SIZE)) < 0.4
    masks[3] = False
    return {
        "img_id": index,
        "img_path": path or f"images/{index}.jpg",
        "ori_shape": SIZE,
        "pred_instances": {
            "masks": torch.from_numpy(masks),
            "labels": torch.tensor([0, 1, 1, 0]),
            "scores": torch.tensor([0.1, 0.7, 0.30000001, 1.0]),
        },
        "pred_sem_seg": {"sem_seg": torch.from_numpy(rng.integers(0, 4, SIZE))[None]},
        "pred_panoptic_seg": {
            "sem_seg": torch.from_numpy(rng.integers(0, 4, SIZE) + 1000 * rng.integers(0, 9, SIZE))
        },
        **more,
    }


def _write(out: Path, samples: list[dict], meta: dict = META) -> SavedPredictions:
    metric = PredictionWriter(str(out))
    metric.dataset_meta = meta
    metric.process(None, samples)
    assert metric.evaluate(len(samples)) == {}
    return read_predictions(out)


def _check(saved: SavedPredictions, samples: list[dict]) -> None:
    assert [image.id for image in saved] == [sample["img_id"] for sample in samples]
    for image, sample in zip(saved, samples, strict=True):
        assert saved.find(id=image.id) == saved.find(path=sample["img_path"]) == image
        assert image.size == SIZE and image.parts == ("instances", "semantic", "panoptic")
        found, pred = saved.instances(image), sample["pred_instances"]
        assert found.labels.tolist() == pred["labels"].tolist()
        assert found.scores.tolist() == pred["scores"].tolist()
        for index in range(len(found)):
            assert np.array_equal(found.mask(index), pred["masks"][index].numpy())
        semantic = sample["pred_sem_seg"]["sem_seg"][0].numpy()
        assert np.array_equal(saved.semantic(image), semantic)
        values = sample["pred_panoptic_seg"]["sem_seg"].numpy()
        # Void of any instance is void.
        values = np.where(values % 1000 == 3, 3, values)
        assert np.array_equal(saved.panoptic(image), values)
        assert np.array_equal(saved.class_map(image), semantic)


def test_predictions_come_back(tmp_path: Path) -> None:
    samples = [_sample(index) for index in range(3)]
    saved = _write(tmp_path / "run" / "predictions", [*samples[::-1], samples[1]])
    _check(saved, samples)
    assert (saved.classes, saved.things) == (("a", "b", "c"), (True, True, False))
    assert saved.palette == ((1, 2, 3),) * 3
    assert os.listdir(tmp_path / "run") == ["predictions"]
    # Whoever may read the folder beside it may read this one.
    folders = [tmp_path / "run", tmp_path / "run" / "predictions"]
    assert len({folder.stat().st_mode for folder in folders}) == 1


def test_config_builds_it_with_a_folder_alone(tmp_path: Path) -> None:
    config = {"type": "attnseg.PredictionWriter", "out_dir": str(tmp_path / "new")}
    assert type(ROOT_METRICS.build(config)) is PredictionWriter
    assert not (tmp_path / "new").exists()


def test_any_number_of_classes_and_void_values(tmp_path: Path) -> None:
    labels = np.array([[0, 299], [255, 300]])
    semantic = [{"img_path": "x.png", "pred_sem_seg": {"data": torch.from_numpy(labels)[None]}}]
    saved = _write(tmp_path / "p", semantic, {"classes": [str(i) for i in range(300)]})
    # 255 is a class here; 300 is void.
    assert np.array_equal(saved.semantic(saved.images[0]), labels)
    assert saved.images[0].parts == ("semantic",) and saved.images[0].id is None
    assert saved.palette is None
    few = np.array([[0, 2], [255, 3]])
    semantic[0]["pred_sem_seg"] = {"data": torch.from_numpy(few)[None]}
    saved = _write(tmp_path / "q", semantic)
    assert saved.semantic(saved.images[0]).tolist() == [[0, 2], [3, 3]]


def test_eight_bit_panoptic_maps(tmp_path: Path) -> None:
    values = torch.tensor([[0, 1, 2], [255, 3, 0]], dtype=torch.uint8)
    sample = {"img_path": "x.png", "pred_panoptic_seg": {"sem_seg": values}}
    saved = _write(tmp_path / "p", [sample])
    assert saved.panoptic(saved.images[0]).tolist() == [[0, 1, 2], [3, 3, 0]]


def test_names_stay_in_the_folder_and_apart(tmp_path: Path) -> None:
    paths = [
        "a/x.png", "b/x.png", "c/X.jpg", "../../etc/passwd", "/abs/..", "d/x-2.png",
        "e/...hidden.png", "C:\\data\\w.png", "f/mit Umlaut ä.png", "g/" + "l" * 300 + ".png",
    ]  # fmt: skip
    saved = _write(tmp_path / "p", [_sample(i, path) for i, path in enumerate(paths)])
    assert [image.path for image in saved] == paths
    names = [image.name for image in saved]
    assert names[:8] == ["x", "x-2", "X-3", "passwd", "image", "x-2-2", "hidden", "w"]
    assert names[8] == "mit_Umlaut_ä" and len(names[9]) == 100
    files = [p for p in (tmp_path / "p").rglob("*") if p.is_file()]
    assert len(files) == 1 + 3 * len(paths)
    with pytest.raises(KeyError, match="2 predictions of image id None, path 'x.png'"):
        saved.find(path="x.png")
    assert saved.find(path="elsewhere/passwd").id == 3


def test_predictions_of_another_run_stay(tmp_path: Path) -> None:
    first = _write(tmp_path / "p", [_sample(1)])
    with pytest.raises(FileExistsError, match="p' exists and is not empty.*another folder"):
        PredictionWriter(str(tmp_path / "p"))
    # Two runs at once: the second one learns of the first at its end, and loses nothing.
    late = PredictionWriter(str(tmp_path / "q"))
    late.dataset_meta = META
    late.process(None, [_sample(2)])
    _write(tmp_path / "q", [_sample(1)])
    assert late.evaluate(1) == {}
    assert late.out_dir != tmp_path / "q"
    _check(read_predictions(late.out_dir), [_sample(2)])
    _check(read_predictions(tmp_path / "q"), [_sample(1)])
    _check(first, [_sample(1)])
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="file' exists"):
        PredictionWriter(str(tmp_path / "file"))


def test_validations_of_one_run_follow_each_other(tmp_path: Path) -> None:
    metric = PredictionWriter(str(tmp_path / "p"))
    metric.dataset_meta = META
    for index in (1, 2):
        metric.process(None, [_sample(index)])
        metric.evaluate(1)
        _check(read_predictions(tmp_path / "p"), [_sample(index)])


def test_a_test_that_stops_leaves_nothing(tmp_path: Path) -> None:
    metric = PredictionWriter(str(tmp_path / "p"))
    metric.dataset_meta = META
    metric.process(None, [_sample(1)])
    assert len(os.listdir(tmp_path)) == 1
    del metric
    assert os.listdir(tmp_path) == []
    with pytest.raises(FileNotFoundError, match="p' has no index.json.*--save-predictions"):
        read_predictions(tmp_path / "p")


def test_full_disk_at_the_end_leaves_no_half_folder(tmp_path: Path, monkeypatch) -> None:
    metric = PredictionWriter(str(tmp_path / "p"))
    metric.dataset_meta = META
    metric.process(None, [_sample(1)])

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        metric.evaluate(1)
    monkeypatch.undo()
    del metric
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ori_shape": (7, 13)}, r"semantic prediction of image img_id 1.*\(7, 12\).*\(7, 13\)"),
        ({"pred_sem_seg": {"data": torch.full(SIZE, 9)}}, "img_id 1.*label 9.*3 classes"),
        ({"pred_panoptic_seg": {"sem_seg": torch.full(SIZE, 1009)}}, "label 9.*3 classes"),
        ({"pred_panoptic_seg": {"sem_seg": torch.full(SIZE, 1 << 24)}}, "img_id 1"),
        ({"labels": torch.tensor([0, 1, 7, 0])}, "img_id 1.*label 7.*3 classes"),
        ({"scores": torch.tensor([0, 1, float("nan"), 0])}, "img_id 1.*NaN"),
        ({"scores": torch.tensor([0.0])}, "4 masks, 4 labels and 1 scores"),
    ],
)
def test_bad_predictions(change: dict, message: str, tmp_path: Path) -> None:
    sample = _sample(1)
    for key, value in change.items():
        (sample if key in sample else sample["pred_instances"])[key] = value
    with pytest.raises(ValueError, match=message):
        _write(tmp_path / "p", [sample])


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    boxes = {"img_id": 1, "pred_instances": {"labels": [], "scores": []}}
    with pytest.raises(KeyError, match="img_id 1 has no 'pred_instances' with masks"):
        _write(tmp_path / "p", [boxes])
    with pytest.raises(ValueError, match="dataset_meta"):
        _write(tmp_path / "p", [_sample(1)], {})
    assert len(_write(tmp_path / "p", [])) == 0


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _edit(path: Path, key: str, value: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("index.json", _cut),
        ("index.json", lambda path: _edit(path, "version", 9)),
        ("index.json", lambda path: _edit(path, "images", [{"name": "../x"}])),
        ("index.json", lambda path: path.write_text("[]")),
        ("instances/1.json", _cut),
        ("instances/1.json", lambda path: _edit(path, "scores", [1])),
        ("instances/1.json", lambda path: _edit(path, "labels", [5] * 4)),
        ("instances/1.json", lambda path: _edit(path, "masks", [{"size": [7, 12]}] * 4)),
        ("instances/1.json", lambda p: _edit(p, "masks", [{"size": [7, 12], "counts": "n"}] * 4)),
        ("instances/1.json", Path.unlink),
        ("semantic/1.png", _cut),
        ("semantic/1.png", lambda path: path.write_bytes(b"no image")),
        ("semantic/1.png", Path.unlink),
        ("panoptic/1.png", _cut),
        ("panoptic/1.png", Path.unlink),
    ],
)
def test_damaged_files_are_named(file: str, damage: Callable[[Path], Any], tmp_path) -> None:
    _write(tmp_path / "p", [_sample(1)])
    damage(tmp_path / "p" / file)
    with pytest.raises(ValueError, match=f"{file}' is damaged"):
        saved = read_predictions(tmp_path / "p")
        getattr(saved, file.split("/")[0])(saved.images[0])


def _worker(rank: int, folder: Path, port: int) -> None:
    os.environ |= {
        "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    setup_env()
    init_dist("pytorch", backend="gloo")
    metric = PredictionWriter(str(folder / "p"), collect_dir=str(folder / "collect"))
    metric.dataset_meta = META
    # The sampler repeats the first image in the second process.
    metric.process(None, [_sample(i) for i in ((0, 2, 4), (1, 3, 0))[rank]])
    metric.evaluate(5)


@pytest.mark.slow
def test_two_processes_write_one_folder(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(_worker, args=(tmp_path, port), nprocs=2)
    saved = read_predictions(tmp_path / "p")
    _check(saved, [_sample(i) for i in range(5)])
    assert [image.name for image in saved] == ["0", "1", "2", "3", "4"]
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []
