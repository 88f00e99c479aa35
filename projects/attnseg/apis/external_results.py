"""Results of other programs, measured as ours are: what ``tools/import_results.py`` runs.

The data set and the evaluators are those of a config's test; a record beside those of
``tools/test.py`` says that the numbers are of an external program.
"""

import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import attnseg
from attnseg.apis.command import UsageError, input_errors
from attnseg.apis.experiment import build_config
from attnseg.apis.external_formats import (
    FORMATS,
    Classes,
    ImageInfo,
    Prediction,
    nearest_label,
    source_files,
)
from attnseg.file_hash import file_hash, files_hash

_MOST_NAMED = 20


def import_results(
    config: str | Path,
    results: str | Path,
    *,
    format: str,
    name: str,
    version: str,
    data: str | Path | None = None,
    work_dir: str | Path | None = None,
    class_names: Sequence[str] | None = None,
    class_name: str | None = None,
    strict: bool = False,
    save_predictions: str | Path | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    resamples: int = 1000,
    level: float = 0.95,
) -> tuple[Path, dict[str, float], list[str]]:
    """Evaluate result files of another program on the test set of a config.

    Args:
        config: Names the data set and the evaluators; its model is not built.
        results: File or folder; see ``docs/external_results.md``.
        format: One of ``FORMATS``.
        name: Of the program.
        version: Of the program, as the user knows it.
        data: Takes the place of the data folder.
        work_dir: Run folder; else one below ``work_dirs/external``.
        class_names: The program's classes in its order, where that is not the data set's.
        class_name: Class of all instances, for programs without classes.
        strict: Refuse results that lack an image, instead of counting it as empty.
        save_predictions: Where to write the predictions in the form of ``tools/test.py``.
        cfg_options: Dotted keys -> values for the config.
        resamples: Bootstrap resamples for the intervals; 0 for none.
        level: Their coverage, in (0, 1).

    Returns:
        The file of the record, the metrics by key, and the images that had no result.

    Raises:
        UsageError: The config, the data or a result file does not fit; names file and reason.
    """
    if format not in FORMATS:
        raise UsageError(f"format '{format}' is unknown: choose one of {', '.join(FORMATS)}.")
    if not name.strip() or not version.strip():
        raise UsageError("name and version of the program are needed: a table shows them.")
    started, results = datetime.now(timezone.utc), Path(results)
    if not results.exists():
        raise UsageError(f"results '{results}' not found (looked from {Path.cwd()}).")
    cfg = build_config(
        config, data=data, cfg_options=cfg_options, save_predictions=save_predictions
    )
    with input_errors(KeyError, OSError):
        dataset, evaluator = _build(cfg)
        images = _images(dataset)
        classes = _classes(dataset, class_names, class_name)
        reader = FORMATS[format](results, images, classes)
        missing = [image.path or str(image.id) for image in images if not reader.has(image)]
        if missing and (strict or len(missing) == len(images)):
            raise UsageError(f"'{results}' has no result of {_named(missing)}.")
        for index, image in enumerate(images):
            sample = dataset[index]["data_samples"]
            image = replace(image, size=_size(sample))
            found = reader.read(image) if reader.has(image) else _nothing(format, image, classes)
            _put(sample, found, dataset.metainfo)
            evaluator.process(data_samples=[sample])
        metrics = evaluator.evaluate(len(images))
    own = work_dir or Path("work_dirs") / "external" / f"{_slug(f'{name}_{version}')}"
    external = {
        "program": name,
        "version": version,
        "format": format,
        "source": os.path.abspath(results),
        "sha256": _hash(results),
        "missing": len(missing),
        "missing_images": missing[:_MOST_NAMED],
    }
    path = _record(cfg, dataset, evaluator, metrics, Path(own), started, external, resamples, level)
    return path, metrics, missing


def _build(cfg: Any) -> tuple[Any, Any]:
    from mmengine.evaluator import Evaluator
    from mmengine.registry import init_default_scope

    from attnseg.engine.evaluators import metric_configs
    from attnseg.registry import DATASETS

    init_default_scope(cfg.get("default_scope", "mmengine"))
    for key in ("test_dataloader", "test_evaluator"):
        if not cfg.get(key):
            raise UsageError(f"{cfg.filename} has no {key}: it names the data and the metrics.")
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    evaluator = Evaluator(metric_configs(cfg.test_evaluator))
    evaluator.dataset_meta = dataset.metainfo
    return dataset, evaluator


def _images(dataset: Any) -> list[ImageInfo]:
    infos = (dataset.get_data_info(index) for index in range(len(dataset)))
    return [ImageInfo(info.get("img_id"), str(info.get("img_path", ""))) for info in infos]


def _classes(dataset: Any, class_names: Sequence[str] | None, class_name: str | None) -> Classes:
    names = tuple(dataset.metainfo["classes"])
    file = getattr(dataset, "ann_file", None)
    categories: dict[int, int] = {}
    if file and Path(file).suffix == ".json":
        content = json.loads(Path(file).read_text("utf-8"))
        categories = {
            category["id"]: names.index(category["name"])
            for category in content.get("categories", [])
            if category["name"] in names
        }
    for given in class_names or ():
        nearest_label(given, names)
    things = [label for label, thing in enumerate(_things(dataset.metainfo)) if thing]
    single = nearest_label(class_name, names) if class_name else None
    if single is None and len(things) == 1:
        single = things[0]
    return Classes(names, categories, tuple(class_names) if class_names else None, single)


def _things(meta: Mapping[str, Any]) -> list[bool]:
    from attnseg.evaluation.classes import thing_flags

    return list(thing_flags(tuple(meta["classes"]), meta))


def _nothing(format: str, image: ImageInfo, classes: Classes) -> Prediction:
    """An image without a result: no instance, all void."""
    void = np.full(image.size, len(classes.names), dtype=np.int32)
    if format == "classes":
        return Prediction(semantic=void)
    return Prediction(labels=[], panoptic=void if format == "saved" else None)


def _put(sample: Any, found: Prediction, meta: Mapping[str, Any]) -> None:
    import torch
    from mmengine.structures import InstanceData, PixelData
    from pycocotools import mask as rle_tools

    if found.labels is not None:
        boxes = torch.zeros(len(found.masks), 4)
        if found.masks:
            boxes = torch.from_numpy(rle_tools.toBbox(found.masks)).float()
            boxes[:, 2:] += boxes[:, :2]
        sample.pred_instances = InstanceData(
            labels=torch.tensor(found.labels, dtype=torch.long),
            scores=torch.tensor(found.scores, dtype=torch.float64),
            bboxes=boxes,
            masks=found.masks,
        )
        if found.panoptic is None and found.semantic is None and not all(_things(meta)):
            found.panoptic = merge_instances(found, _size(sample), _things(meta))
    if found.semantic is not None:
        sample.pred_sem_seg = PixelData(data=torch.from_numpy(found.semantic)[None])
    if found.panoptic is not None:
        sample.pred_panoptic_seg = PixelData(sem_seg=torch.from_numpy(found.panoptic)[None])


def _size(sample: Any) -> tuple[int, int]:
    return int(sample.ori_shape[0]), int(sample.ori_shape[1])


def merge_instances(
    found: Prediction, size: tuple[int, int], things: Sequence[bool]
) -> NDArray[np.int32]:
    """Panoptic values (H, W) of instances: the surer one on top, the only stuff class elsewhere.

    With several stuff classes, the rest is void: a program of instances says nothing of it.

    Args:
        found: With instances.
        size: Height and width.
        things: One flag a class.

    Raises:
        ValueError: A mask is damaged.
    """
    from attnseg.evaluation.label_maps import paint_rles

    stuff = [label for label, thing in enumerate(things) if not thing]
    rest = stuff[0] if len(stuff) == 1 else len(things)
    order = np.argsort(-np.asarray(found.scores), kind="stable")[::-1]
    values = [rest, *(1000 * n + (found.labels or [])[i] for n, i in enumerate(order, 1))]
    return np.array(values, dtype=np.int32)[paint_rles([found.masks[i] for i in order], size)]


def _record(
    cfg: Any,
    dataset: Any,
    evaluator: Any,
    metrics: Mapping[str, Any],
    folder: Path,
    started: datetime,
    external: Mapping[str, Any],
    resamples: int,
    level: float,
) -> Path:
    from attnseg.engine.data_hash import describe_data
    from attnseg.engine.evaluators import (
        attempt,
        describe_evaluators,
        measured,
        predictions_folder,
        tables_of,
    )
    from attnseg.engine.provenance import command, git_state, hardware, versions
    from attnseg.engine.run_record import SCHEMA
    from attnseg.record_files import write_record

    values, how = measured(metrics, evaluator.metrics, resamples, level)
    stamp = started.strftime("%Y%m%d_%H%M%S")
    saved = predictions_folder(evaluator.metrics)
    tables = tables_of(evaluator.metrics)
    data = describe_data(dataset)
    if tables:
        seen = {image for table in tables for image in table.images}
        data["images"] = min(data["images"], len(seen))
    record = {
        "schema": SCHEMA,
        "id": f"{stamp}-test-{secrets.token_hex(4)}",
        "mode": "test",
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "name": f"{external['program']} {external['version']} (external)",
        "work_dir": os.path.abspath(folder),
        # The config gave data and evaluators, no training: it has no hash here.
        "config": {"file": cfg.filename, "hash": None, "init": None},
        "external": dict(external),
        "checkpoint": None,
        "git": attempt("git revision", git_state, cfg.filename, attnseg.__file__),
        "data": data,
        "evaluators": attempt(
            "evaluators", describe_evaluators, evaluator.metrics, cfg.test_evaluator
        ),
        "metrics": values,
        "intervals": how,
        "seed": None,
        "world_size": 1,
        "tta": False,
        "iter": None,
        "epoch": None,
        "versions": versions(),
        "hardware": hardware(),
        "cost": None,
        "command": attempt("command", command),
        "predictions": None if saved is None else str(saved.resolve()),
    }
    with input_errors(OSError):
        return write_record(folder / stamp, record, tables)


def _hash(results: Path) -> str:
    return file_hash(results) if results.is_file() else files_hash(source_files(results))


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "external"


def _named(missing: Sequence[str]) -> str:
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return f"{len(missing)} image(s): {', '.join(missing[:3])}{more}"
