"""From a format's name to packing and validating it."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from attnseg.evaluation.submission import (
    ade20k,
    cellseg,
    cityscapes_instance,
    cityscapes_semantic,
    coco_instance,
    coco_panoptic,
)
from attnseg.evaluation.submission.archive import ZipReader, new_zip
from attnseg.evaluation.submission.findings import Findings, InvalidSubmission
from attnseg.evaluation.submission.saved import SavedPredictions
from attnseg.evaluation.submission.target import Target

FORMATS: Mapping[str, ModuleType] = {
    "coco-instance": coco_instance,
    "coco-panoptic": coco_panoptic,
    "cityscapes-semantic": cityscapes_semantic,
    "cityscapes-instance": cityscapes_instance,
    "ade20k": ade20k,
    "cellseg": cellseg,
}


def pack(
    kind: str, saved: SavedPredictions, target: Target, out: str | Path, **options: Any
) -> Findings:
    """Write the zip file of a server, which takes its place only if it is valid.

    Args:
        kind: A name of `FORMATS`.
        saved: Predictions.
        target: Images and categories of the test set.
        out: Zip file; an old one is replaced.
        **options: Further arguments of the format's ``pack``.

    Returns:
        What its validation warns of.

    Raises:
        InvalidSubmission: If its validation finds an error; ``out`` is then unchanged.
        ValueError: If predictions and target do not fit, or a prediction is damaged.
        OSError: If it cannot be written; an old file is then unchanged.
    """
    out = _checked_name(out)
    results: list[Findings] = []

    def check(temporary: Path) -> None:
        results.append(_validate(kind, temporary, target, out.stem))
        if results[0].errors:
            raise InvalidSubmission(results[0])

    with new_zip(out, check) as archive:
        FORMATS[kind].pack(saved, target, archive, out.stem, **options)
    return results[0]


def validate(kind: str, path: str | Path, target: Target) -> Findings:
    """Check the zip file of a server.

    Args:
        kind: A name of `FORMATS`.
        path: Zip file.
        target: Images and categories of the test set.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the target's images cannot be told apart.
    """
    return _validate(kind, Path(path), target, Path(path).stem)


def _validate(kind: str, path: Path, target: Target, stem: str) -> Findings:
    findings = Findings()
    try:
        archive = ZipReader(path)
    except ValueError as error:
        findings.error("damaged file", error)
        return findings
    with archive:
        FORMATS[kind].validate(archive, target, stem, findings)
    return findings


def _checked_name(out: str | Path) -> Path:
    out = Path(out)
    if out.suffix != ".zip" or out.is_dir():
        raise ValueError(f"'{out}': servers take zip files; give the name of one (.zip).")
    return out
