"""Results of other programs get the numbers that the same predictions get in a test of ours."""

import json
import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image
from pycocotools import mask as rle_tools

from attnseg.apis.command import UsageError
from attnseg.apis.experiment import build_config, run_test
from attnseg.apis.external_formats import FORMATS
from attnseg.apis.external_results import import_results
from attnseg.compat import rgb2id
from attnseg.evaluation.submission.saved import read_predictions
from attnseg.leaderboard.records import load_records
from attnseg.leaderboard.runs import latest_runs
from attnseg.registry import MODELS
from tests.configs.test_leaves import CONFIGS

PANOPTIC = "unet_small_1xb8-400i_demo-panoptic-128x128"
INSTANCE = """
_base_ = ['{configs}/_base_/datasets/demo_instance.py', '{configs}/_base_/runtime/detection.py']
"""
SEMANTIC = """
_base_ = ['{configs}/_base_/datasets/demo_semantic.py', '{configs}/_base_/runtime/semantic.py']
"""


@pytest.fixture
def config(tmp_path: Path) -> Any:
    """Writes a config of data and metrics alone."""

    def write(text: str) -> Path:
        path = tmp_path / "own.py"
        path.write_text(text.format(configs=CONFIGS))
        return path

    return write


def importing(config: Any, results: Path, demo_set: Path, tmp_path: Path, **more: Any) -> Any:
    chosen = {"name": "Other", "version": "1.2", "resamples": 20, **more}
    return import_results(config, results, data=demo_set, work_dir=tmp_path / "run", **chosen)


def truth(demo_set: Path) -> dict[str, Any]:
    return json.loads((demo_set / "annotations/instances_val.json").read_text())


def write_coco(demo_set: Path, path: Path, **changes: Any) -> Path:
    keys = ("image_id", "category_id", "segmentation")
    results = [{**{k: a[k] for k in keys}, "score": 0.9} for a in truth(demo_set)["annotations"]]
    results[0] |= changes
    path.write_text(json.dumps(results))
    return path


def masks_of(demo_set: Path) -> dict[str, list[tuple[int, np.ndarray]]]:
    """Category and mask of each object, by the stem of its image."""
    content = truth(demo_set)
    images = {image["id"]: image for image in content["images"]}
    found: dict[str, list] = {Path(i["file_name"]).stem: [] for i in images.values()}
    for ann in content["annotations"]:
        image = images[ann["image_id"]]
        rle = ann["segmentation"]
        if isinstance(rle, list):
            rle = rle_tools.merge(rle_tools.frPyObjects(rle, image["height"], image["width"]))
        elif isinstance(rle["counts"], list):
            rle = rle_tools.frPyObjects(rle, image["height"], image["width"])
        mask = rle_tools.decode(rle).astype(bool)
        found[Path(image["file_name"]).stem].append((ann["category_id"], mask))
    return found


def test_saved_predictions_get_the_numbers_of_the_test(demo_set: Path, tmp_path: Path) -> None:
    cfg = Config.fromfile(CONFIGS / f"baselines/{PANOPTIC}.py")
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "weights.pth")
    tested = build_config(
        PANOPTIC, data=demo_set, work_dir=tmp_path / "own", checkpoint=tmp_path / "weights.pth",
        save_predictions=tmp_path / "preds", cfg_options={"test_dataloader.num_workers": 0,
        "test_dataloader.persistent_workers": False},
    )  # fmt: skip
    metrics = run_test(tested)
    record, imported, missing = importing(
        PANOPTIC, tmp_path / "preds", demo_set, tmp_path, format="saved"
    )
    assert not missing
    np.testing.assert_equal(imported, metrics)
    assert any(0 < value < 1 for value in metrics.values())

    saved = read_predictions(tmp_path / "preds")
    ids = {c["name"]: c["id"] for c in truth(demo_set)["categories"]}
    results = []
    for image in saved:
        own = saved.instances(image)
        for label, score, mask in zip(own.labels, own.scores, own.masks, strict=True):
            category = ids[saved.classes[label]]
            results.append({"image_id": image.id, "category_id": category, "score": float(score),
                            "segmentation": dict(mask)})  # fmt: skip
    assert results
    (tmp_path / "results.json").write_text(json.dumps(results))
    _, from_coco, _ = importing(
        PANOPTIC, tmp_path / "results.json", demo_set, tmp_path, format="coco"
    )
    of_instances = {key: value for key, value in metrics.items() if key.startswith("coco/")}
    np.testing.assert_equal({key: from_coco[key] for key in of_instances}, of_instances)

    records, problems = load_records([tmp_path / "own", record.parent.parent])
    assert not problems
    runs = {run.name: run for run in latest_runs(records)}
    ours, theirs = runs[PANOPTIC], runs["Other 1.2 (external)"]
    assert theirs.record.data["config"]["hash"] is None
    for part in ("data", "evaluators"):
        assert theirs.record.data[part] == ours.record.data[part]
    for key, value in ours.metrics.items():
        assert theirs.metrics[key].value == value.value or value.value != value.value


def test_truth_as_coco_results_gives_ap_1(config, demo_set: Path, tmp_path: Path) -> None:
    results = write_coco(demo_set, tmp_path / "results.json")
    record, metrics, missing = importing(
        config(INSTANCE), results, demo_set, tmp_path, format="coco"
    )
    assert metrics["coco/AP"] == pytest.approx(1) and not missing
    content = json.loads(record.read_text())
    assert content["external"]["program"] == "Other"
    assert content["external"]["version"] == "1.2"
    assert len(content["external"]["sha256"]) == 64
    assert content["metrics"]["coco/AP"]["low"] <= 1
    assert (record.parent / content["per_image"]).is_file()


def test_truth_as_panoptic_and_class_maps_gives_1(config, demo_set: Path, tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    for path in (demo_set / "semantic/val").iterdir():
        Image.open(path).save(folder / path.name)
    _, metrics, _ = importing(config(SEMANTIC), folder, demo_set, tmp_path, format="classes")
    assert {k: v for k, v in metrics.items() if k.endswith("mIoU")}
    assert all(value == 1 for key, value in metrics.items() if key.endswith("mIoU"))


@pytest.mark.parametrize("kind", ["labels", "npy", "sam", "yolo"])
def test_formats_without_own_classes_or_ids(
    kind: str, config, demo_set: Path, tmp_path: Path
) -> None:
    """Each format of masks that do not overlap; polygons of whole pixels for YOLO."""
    folder, names = tmp_path / "files", {c["id"]: c["name"] for c in truth(demo_set)["categories"]}
    folder.mkdir()
    one, expected = next(iter(names)), []
    for stem, objects in masks_of(demo_set).items():
        chosen = [mask for category, mask in objects if category == one]
        expected.append(len(chosen))
        if kind in ("labels", "npy"):
            canvas = np.zeros(objects[0][1].shape if objects else (64, 64), np.uint16)
            for number, mask in enumerate(chosen, 1):
                canvas[mask] = number
            if kind == "labels":
                tifffile.imwrite(folder / f"{stem}_cp_masks.tif", canvas)
            else:
                np.save(folder / f"{stem}.npy", canvas)
        elif kind == "sam":
            masks = []
            for mask in chosen:
                rle = rle_tools.encode(np.asfortranarray(mask, np.uint8))
                rle["counts"] = rle["counts"].decode()
                masks.append({"segmentation": rle, "predicted_iou": 0.8})
            (folder / f"{stem}.json").write_text(json.dumps({"annotations": masks}))
        else:
            lines = []
            for mask in chosen:
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                x0, x1, y0, y1 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
                height, width = mask.shape
                points = [x0 / width, y0 / height, x1 / width, y0 / height,
                          x1 / width, y1 / height, x0 / width, y1 / height]  # fmt: skip
                lines.append("0 " + " ".join(map(str, points)) + " 0.75")
            (folder / f"{stem}.txt").write_text("\n".join(lines) + "\n")
    more = {"class_name": names[one]}
    if kind == "yolo":
        more = {"class_names": [names[one]]}
    form = "labels" if kind == "npy" else kind
    text = INSTANCE + "\ntest_evaluator = dict(type='attnseg.CocoInstanceMetric', classwise=True)\n"
    preds = tmp_path / "preds"
    _, metrics, missing = importing(
        config(text), folder, demo_set, tmp_path, format=form, save_predictions=preds, **more
    )
    assert not missing
    saved = read_predictions(preds)
    assert [len(saved.instances(image)) for image in saved] == expected
    assert sum(expected)
    if kind == "yolo":
        assert {s for image in saved for s in saved.instances(image).scores} == {0.75}
        assert metrics[f"coco/AP50/{names[one]}"] > 0.3
    else:
        assert metrics[f"coco/AP/{names[one]}"] > 0.9


def test_images_without_a_result_count_as_empty(config, demo_set: Path, tmp_path: Path) -> None:
    results = write_coco(demo_set, tmp_path / "results.json")
    content = json.loads(results.read_text())
    lost = content[0]["image_id"]
    results.write_text(json.dumps([r for r in content if r["image_id"] != lost]))
    own = config(INSTANCE)
    _, metrics, missing = importing(own, results, demo_set, tmp_path, format="coco")
    assert len(missing) == 1 and metrics["coco/AP"] < 1
    with pytest.raises(UsageError, match=r"has no result of 1 image"):
        importing(own, results, demo_set, tmp_path, format="coco", strict=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_id": 98765}, "result 0 is of image id 98765, which the data set has not"),
        ({"category_id": 777}, "category_id 777; the annotation file has"),
        ({"image_id": [1]}, r"result 0 is of image id \[1\], which the data set has not"),
        ({"category_id": {"a": 1}}, r"category_id {'a': 1}; the annotation file has"),
        ({"score": "high"}, "has the score 'high'"),
        ({"segmentation": {"size": [3, 3], "counts": [9]}}, r"RLE of size \(H, W\) = \(3, 3\)"),
        ({"segmentation": {"size": [64, 64], "counts": [5]}}, "damaged RLE"),
        ({"segmentation": [[0, "x"]]}, "no numbers"),
    ],
)
def test_bad_coco_results(
    changes: dict, message: str, config, demo_set: Path, tmp_path: Path
) -> None:
    results = write_coco(demo_set, tmp_path / "results.json", **changes)
    with pytest.raises(UsageError, match=message):
        importing(config(INSTANCE), results, demo_set, tmp_path, format="coco")
    assert not (tmp_path / "run").exists()


def test_bad_folders(config, demo_set: Path, tmp_path: Path) -> None:
    own, folder = config(INSTANCE), tmp_path / "files"
    folder.mkdir()
    stem = next(iter(masks_of(demo_set)))

    def refused(message: str, format: str = "labels", **more: Any) -> None:
        with pytest.raises(UsageError, match=message):
            importing(own, folder, demo_set, tmp_path, format=format, **more)

    name = truth(demo_set)["categories"][0]["name"]
    refused("has no file that ends in")
    tifffile.imwrite(folder / f"{stem}x.tif", np.zeros((64, 64), np.uint16))
    refused(f"is of no image of the data set; is '{stem}' meant")
    (folder / f"{stem}x.tif").unlink()
    tifffile.imwrite(folder / f"{stem}_masks.tif", np.zeros((64, 64), np.uint16))
    refused("no classes and the data set has several")
    refused(f"is none of the data set's.*is '{name}' meant", class_name=f"{name}s")
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(folder / f"{stem}.png")
    refused("are of the same image", class_name=name)
    (folder / f"{stem}.png").unlink()
    tifffile.imwrite(folder / f"{stem}_masks.tif", np.zeros((8, 9), np.uint16))
    refused(r"has size \(H, W\) = \(8, 9\), the image has \(64, 64\)", class_name=name)
    (folder / f"{stem}_masks.tif").unlink()
    np.save(folder / f"{stem}_seg.npy", {"masks": 1}, allow_pickle=True)
    refused("Pickled files may run code and are not read", class_name=name)
    (folder / f"{stem}.txt").write_text("0 0.1 0.1 0.2 0.2\n")
    refused("boxes alone have no mask", format="yolo")
    (folder / f"{stem}.txt").write_text("7 10 10 20 10 20 20\n")
    refused("must be between 0 and 1", format="yolo")
    (folder / f"{stem}.txt").write_text("7 .1 .1 .2 .1 .2 .2\n")
    refused("class 7 of 3 classes", format="yolo")
    (folder / f"{stem}.json").write_text('[{"segmentation": 3}]')
    refused("lacks 'segmentation' or 'predicted_iou'", format="sam", class_name=name)
    refused("unknown: choose one of", format="onnx")
    refused("name and version", version=" ")


def test_real_nuclei(config, data_root: Path | None, tmp_path: Path) -> None:
    """The truth of nuclei as a program would write it: PQ, AP and IoU are 1."""
    if data_root is None:
        pytest.skip("no real images here")
    root, folder = data_root / "dsb2018", tmp_path / "maps"
    folder.mkdir()
    content = json.loads((root / "annotations/panoptic_val.json").read_text())
    nucleus = next(c["id"] for c in content["categories"] if c["isthing"])
    for ann in content["annotations"][:4]:
        pixels = rgb2id(np.array(Image.open(root / "panoptic/val" / ann["file_name"])))
        things = [s["id"] for s in ann["segments_info"] if s["category_id"] == nucleus]
        canvas = np.where(np.isin(pixels, things), np.unique(pixels, return_inverse=True)[1]
                          .reshape(pixels.shape) + 1, 0)  # fmt: skip
        tifffile.imwrite(folder / f"{Path(ann['file_name']).stem}_masks.tif",
                         canvas.astype(np.uint16))  # fmt: skip
    _, metrics, missing = import_results(
        "unet_small_1xb8-400i_dsb2018-panoptic-128x128", folder, format="labels", name="Cellpose",
        version="truth", data=root, work_dir=tmp_path / "run", resamples=0,
        cfg_options={"test_dataloader.dataset.indices": 4},
    )  # fmt: skip
    assert not missing
    assert metrics["panoptic/PQ"] == 1
    assert metrics["coco/AP"] == pytest.approx(1)
    assert next(v for k, v in metrics.items() if k.endswith("mIoU")) == 1


def test_page_lists_the_formats_and_its_command_runs(
    demo_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """The page's commands, on the demo set."""
    page = (CONFIGS.parent / "docs/external_results.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(FORMATS)
    command = next(block for block in page.split("```")[1::2] if "Cellpose" in block)
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:3] == ["python", "tools/import_results.py", words[2]]
    assert (CONFIGS / f"baselines/{words[2]}.py").is_file()
    results = write_coco(demo_set, tmp_path / "results.json")
    words[2:4] = [PANOPTIC, str(results)]
    words[words.index("labels")], words[words.index("data/dsb2018")] = "coco", str(demo_set)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", words[1:])
    runpy.run_path(str(CONFIGS.parent / "tools/import_results.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert "coco/AP: 1.0000" in out and "record: " in out
    monkeypatch.setattr(sys, "argv", ["leaderboard.py", "collect", "work_dirs"])
    runpy.run_path(str(CONFIGS.parent / "tools/leaderboard.py"), run_name="__main__")
    assert "Cellpose 3.1 cyto3 (external)" in capsys.readouterr().out
