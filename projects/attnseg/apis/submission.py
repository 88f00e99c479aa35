"""From saved predictions to the zip file of a benchmark server: what ``tools/submit.py`` runs."""

import argparse
from pathlib import Path
from typing import Any

from attnseg.apis.command import UsageError, input_errors
from attnseg.evaluation.submission.cityscapes import CATEGORIES as CITYSCAPES
from attnseg.evaluation.submission.coco_instance import MAX_PER_IMAGE
from attnseg.evaluation.submission.findings import Findings
from attnseg.evaluation.submission.formats import FORMATS, pack, validate
from attnseg.evaluation.submission.saved import read_predictions
from attnseg.evaluation.submission.target import Target, coco_target, folder_images

__all__ = ["add_arguments", "pack_submission", "target_of", "validate_submission"]

_COCO = {"coco-instance": "instances", "coco-panoptic": "panoptic"}
_ADE20K_CLASSES = 150


def target_of(
    kind: str,
    ann_file: str | None = None,
    images: str | None = None,
    class_list: str | None = None,
) -> Target:
    """Read what a submission is checked against.

    Args:
        kind: Name of the format.
        ann_file: COCO json with images and categories; for the COCO formats.
        images: Folder of the test images; for the others. Without it, all names are accepted.
        class_list: Class names in the server's order, one a line; for ``ade20k``, in place of
            those of mmseg's ``ADE20KDataset``.

    Raises:
        FileNotFoundError: If a file or folder does not exist.
        ValueError: If one is damaged or does not fit.
    """
    if kind in _COCO:
        if ann_file is None:
            raise ValueError(
                f"{kind} needs --ann-file: the image-info json of the test split (or the "
                "annotations of the validation set), which has the ids of images and categories."
            )
        return coco_target(ann_file, _COCO[kind])
    found = None
    if images is not None:
        found = folder_images(images, "_leftImg8bit.png" if kind.startswith("cityscapes") else "")
    source = f"'{images}'" if images else f"format {kind}"
    if kind.startswith("cityscapes"):
        return Target(source, found, CITYSCAPES)
    return Target(source, found, _ade20k_categories(class_list) if kind == "ade20k" else ())


def pack_submission(
    kind: str,
    predictions: str,
    out: str,
    ann_file: str | None = None,
    images: str | None = None,
    class_list: str | None = None,
    **options: Any,
) -> Findings:
    """Pack saved predictions and validate the file; see `target_of` and the format's ``pack``.

    Returns:
        What the validation warns of.

    Raises:
        UsageError: If something does not fit, is damaged, or cannot be written.
    """
    with input_errors(KeyError, OSError):
        target = target_of(kind, ann_file, images, class_list)
        saved = read_predictions(predictions)
    try:
        with input_errors(KeyError):
            return pack(kind, saved, target, out, **options)
    except OSError as error:
        raise UsageError(
            f"'{out}' could not be written ({error.strerror or error}); what was there before is "
            "unchanged."
        ) from error


def validate_submission(
    kind: str,
    file: str,
    ann_file: str | None = None,
    images: str | None = None,
    class_list: str | None = None,
) -> Findings:
    """Check a zip file; see `target_of`.

    Raises:
        UsageError: If the file does not exist, or if what it is checked against does not fit.
    """
    with input_errors(OSError):
        return validate(kind, file, target_of(kind, ann_file, images, class_list))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``pack FORMAT`` and ``validate FORMAT``, each format with its own options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="pack|validate")
    packing = actions.add_parser("pack", help="write the zip file of a server, and validate it")
    checking = actions.add_parser("validate", help="check a zip file; exit status 1 on an error")
    formats = {
        name: action.add_subparsers(dest="kind", required=True, metavar="FORMAT")
        for name, action in (("pack", packing), ("validate", checking))
    }
    for kind, module in FORMATS.items():
        summary = str(module.__doc__).partition("\n")[0]
        one = formats["pack"].add_parser(kind, help=summary, description=module.__doc__)
        one.add_argument("--predictions", required=True, help="folder of --save-predictions")
        one.add_argument("--out", required=True, help="zip file to write")
        _add_target(one, kind)
        if kind == "coco-instance":
            one.add_argument("--boxes", action="store_true", help="also give boxes of the masks")
            one.add_argument("--max-per-image", type=int, default=MAX_PER_IMAGE)
        if kind == "cellseg":
            one.add_argument("--min-score", type=float, default=0.5, help="of instances")
        one = formats["validate"].add_parser(kind, help=summary, description=module.__doc__)
        one.add_argument("file", help="zip file")
        _add_target(one, kind)


def _add_target(parser: argparse.ArgumentParser, kind: str) -> None:
    if kind in _COCO:
        parser.add_argument("--ann-file", required=True, help="json of images and categories")
        return
    parser.add_argument("--images", help="folder of the test images (names and sizes)")
    if kind == "ade20k":
        parser.add_argument("--class-list", help="150 names in the server's order, one a line")


def _ade20k_categories(class_list: str | None) -> tuple[dict[str, Any], ...]:
    if class_list is None:
        from attnseg.compat import setup_env

        setup_env()
        from mmseg.datasets import ADE20KDataset

        names = list(ADE20KDataset.METAINFO["classes"])
    else:
        names = [line.strip() for line in Path(class_list).read_text("utf-8").splitlines()]
        names = [name for name in names if name]
    if len(names) != _ADE20K_CLASSES:
        raise ValueError(
            f"'{class_list}' has {len(names)} names; ADE20K has {_ADE20K_CLASSES} classes."
        )
    return tuple({"id": number, "name": name} for number, name in enumerate(names, 1))
