"""Files that runs and other programs left: records, statistics, predictions, results, zip files."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from pycocotools import mask as rle_tools

from attnseg.apis.command import input_errors
from attnseg.apis.external_results import import_results
from attnseg.apis.leaderboard import run_append, run_collect, run_compare, run_gate, run_page
from attnseg.apis.refine_predictions import read_results, result_mask
from attnseg.apis.submission import pack_submission, validate_submission
from attnseg.evaluation.prediction_writer import PredictionWriter
from attnseg.leaderboard.records import load_records
from attnseg.per_image import read_tables
from tests.campaign.mutate import change_bytes, change_json
from tests.campaign.watch import Case
from tests.leaderboard.factory import measured_run

CONFIGS = Path(__file__).resolve().parents[2] / "configs/_base_"
_CLASSES = ("disk", "star", "ring")


def cases(random: Random, folder: Path, demo: Path) -> Iterator[Case]:
    """Files of each kind, each for one command."""
    base = folder / "whole"
    _write_whole(base, demo)
    commands = _commands(folder, demo)
    for number in count():
        whole = number < len(commands)
        name = list(commands)[number] if whole else random.choice(list(commands))
        file, kind, run, check = commands[name]
        place = folder / str(number)
        shutil.copytree(base, place / "in")
        target = place / "in" / file
        what = "whole"
        if not whole:
            what, data = _changed(target.read_bytes(), kind, random)
            target.write_bytes(data)
        yield Case(
            f"results/{number} {name}: {what}",
            lambda run=run, place=place: run(place / "in", place / "out"),
            (target.name, "preds", "runs", "results", "record", "result ", "val_0"),
            check and (lambda found, check=check, target=target: check(target, found)),
            place / "out",
            whole,
        )
        shutil.rmtree(place)


def _changed(data: bytes, kind: str, random: Random) -> tuple[str, bytes]:
    if kind == "json":
        return change_json(json.loads(data), random)
    if kind == "zip" and random.random() < 0.6:
        # A whole archive of which one part is damaged.
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        name = random.choice(list(parts))
        if name.endswith(".json"):
            what, parts[name] = change_json(json.loads(parts[name]), random)
        else:
            what, parts[name] = change_bytes(parts[name], random)
        if random.random() < 0.2:
            new = random.choice(("../up.json", "/etc/x.json", "c:\\x.json", "more.json"))
            what, parts[new] = f"{what}, {new}", parts.pop(name)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        return what, buffer.getvalue()
    return change_bytes(data, random)


def _write_whole(base: Path, demo: Path) -> None:
    for quality in (0.5, 0.6):
        measured_run(base / "runs", f"run{quality}", quality)
    run_gate([str(base / "runs")], str(base / "expected.json"), write=True)
    content = json.loads((demo / "annotations/instances_val.json").read_text())
    samples, results, sam = [], [], {}
    for image in content["images"]:
        own = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        labels = np.array([a["category_id"] - 1 for a in own])
        rles = [a["segmentation"] for a in own]
        samples.append(
            {
                "img_id": image["id"],
                "img_path": f"images/{image['file_name']}",
                "ori_shape": (64, 64),
                "pred_instances": {
                    "masks": rles,
                    "labels": labels,
                    "scores": np.linspace(0.9, 0.5, len(own)),
                },
            }
        )
        keys = ("image_id", "category_id", "segmentation")
        results += [{**{k: a[k] for k in keys}, "score": 0.5} for a in own]
        sam[Path(image["file_name"]).stem] = [
            {"segmentation": rle, "predicted_iou": 0.7} for rle in rles
        ]
    writer = PredictionWriter(str(base / "preds"))
    writer.dataset_meta = {"classes": _CLASSES, "thing_classes": _CLASSES}
    for sample in samples:
        writer.process(None, [sample])
    writer.evaluate(len(samples))
    (base / "results.json").write_text(json.dumps(results))
    (base / "results_sam").mkdir()
    (base / "results_yolo").mkdir()
    for stem, masks in sam.items():
        (base / f"results_sam/{stem}.json").write_text(json.dumps(masks))
        text = "0 0.1 0.1 0.5 0.1 0.5 0.5 0.9\n1 0.2 0.2 0.6 0.2 0.6 0.7 0.8\n"
        (base / f"results_yolo/{stem}.txt").write_text(text)
    (base / "own.py").write_text(
        f"_base_ = ['{CONFIGS}/datasets/demo_instance.py', '{CONFIGS}/runtime/detection.py']\n"
    )
    pack_submission(
        "coco-instance", str(base / "preds"), str(base / "detections_val_mine_results.zip"),
        ann_file=str(demo / "annotations/instances_val.json"),
    )  # fmt: skip


Command = tuple[str, str, Callable[[Path, Path], Any], Any]


def _commands(folder: Path, demo: Path) -> dict[str, Command]:
    record = "runs/run0.5_0/20261121_090000/record.json"
    statistics = record.replace("record.json", "per_image.npz")
    first = "preds/instances/val_00000.json"
    ann_file = str(demo / "annotations/instances_val.json")

    def runs(command: Callable[..., Any], *more: Any, **options: Any) -> Any:
        return lambda root, out: command([str(root / "runs")], *more, **options)

    def external(form: str, name: str) -> Callable[[Path, Path], Any]:
        def run(root: Path, out: Path) -> Any:
            return import_results(
                root / "own.py", root / name, format=form, name="Other", version="1",
                class_name="disk", data=demo, work_dir=out / "run", resamples=5,
            )  # fmt: skip

        return run

    def pack(kind: str) -> Callable[[Path, Path], Any]:
        more = {"ann_file": ann_file} if kind == "coco-instance" else {}
        return lambda root, out: pack_submission(
            kind, str(root / "preds"), str(out / "detections_val_mine_results.zip"), **more
        )

    def validate(root: Path, out: Path) -> Any:
        findings = validate_submission(
            "coco-instance", str(root / "detections_val_mine_results.zip"), ann_file
        )
        if findings.errors:
            print(findings.errors)
            raise SystemExit(1)

    def refine(root: Path, out: Path) -> Any:
        found = read_results(root / "results.json")
        with input_errors(OSError):
            return [result_mask(record, (64, 64), n) for n, record in enumerate(found)]

    def gate(root: Path, out: Path) -> Any:
        return run_gate([str(root / "runs")], str(root / "expected.json"))

    def collect(root: Path, out: Path) -> Any:
        run_collect([str(root / "runs")], out=str(out))
        return load_records([root / "runs"])

    def compare(root: Path, out: Path) -> Any:
        names = [str(root / f"runs/run{quality}_0") for quality in (0.5, 0.6)]
        return run_compare(*names, paired=True, resamples=20, out=str(out / "compared.json"))

    def tables(root: Path, out: Path) -> Any:
        with input_errors():
            return read_tables(root / statistics)

    def page(root: Path, out: Path) -> Any:
        return run_page([str(root / "runs")], str(out / "page.html"), resamples=20)

    def append(root: Path, out: Path) -> Any:
        return run_append([str(root / "runs")], str(out / "shared"))

    return {
        "collect": (record, "json", collect, same_values),
        "page": (record, "json", page, None),
        "compare": (record, "json", compare, None),
        "append": (record, "json", append, None),
        "gate record": (record, "json", gate, None),
        "gate": ("expected.json", "json", gate, None),
        "read_tables": (statistics, "zip", tables, None),
        "compare statistics": (statistics, "zip", compare, None),
        "page statistics": (statistics, "zip", page, None),
        "import coco": ("results.json", "json", external("coco", "results.json"), None),
        "import sam": ("results_sam/val_00000.json", "json", external("sam", "results_sam"), None),
        "import yolo": (
            "results_yolo/val_00000.txt",
            "text",
            external("yolo", "results_yolo"),
            None,
        ),
        "import saved": (first, "json", external("saved", "preds"), None),
        "import saved index": ("preds/index.json", "json", external("saved", "preds"), None),
        "pack coco": (first, "json", pack("coco-instance"), None),
        "pack coco index": ("preds/index.json", "json", pack("coco-instance"), None),
        "pack cellseg index": ("preds/index.json", "json", pack("cellseg"), None),
        "validate": ("detections_val_mine_results.zip", "zip", validate, None),
        "refine_predictions": ("results.json", "json", refine, same_masks),
    }


def same_values(file: Path, found: Any) -> str | None:
    """Compare the metrics of the record that was mutated with the plain file, or see it named."""
    records, problems = found
    if any(problem.path == file.resolve() for problem in problems):
        return None
    try:
        metrics = json.loads(file.read_bytes())["metrics"]
    except ValueError:
        return "a file that is no JSON was read"
    for record in records:
        if record.path == file.resolve():
            for key, value in record.metrics.items():
                plain = metrics[key].get("value")
                both = plain is None or value.value == plain or not np.isfinite(plain)
                if not both:
                    return f"{key} is {value.value}, not {plain}"
            return None if record.metrics.keys() == metrics.keys() else "other metrics"
    return "neither read nor named"


def same_masks(file: Path, found: Any) -> str | None:
    """Compare decoded masks with those of pycocotools."""
    plain = json.loads(file.read_bytes())
    if len(plain) != len(found):
        return f"{len(found)} results, not {len(plain)}"
    for own, record in zip(found, plain, strict=True):
        rle = record["segmentation"]
        coded = isinstance(rle, dict) and isinstance(rle["counts"], str)
        if coded and not np.array_equal(own, rle_tools.decode(rle)):
            return "other masks"
    return None
