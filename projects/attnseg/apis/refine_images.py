"""Refine the strokes of a folder of images: what ``tools/refine_images.py`` runs."""

import io
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from attnseg.apis.command import UsageError
from attnseg.engine.atomic import write_bytes

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


@dataclass
class FolderReport:
    """What became of the files of a folder.

    Attributes:
        written: names of the masks.
        empty: those of them in which the model found nothing.
        skipped: names of the masks that were there already.
        failed: name of the file -> what is wrong with it.
    """

    written: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def refine_folder(
    refine: Callable[..., Any],
    images: str | Path,
    strokes: str | Path,
    out: str | Path,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> FolderReport:
    """Write a mask, PNG of 0 and 255 at the image's own size, for each image and its stroke.

    A file that cannot be read, an image without a stroke, and a stroke without an image do not
    keep the others from being done.

    Args:
        refine: called as :class:`~attnseg.apis.refiner.MaskRefiner`.
        images: folder of the images.
        strokes: folder of PNGs that have the images' stems; see the refiner.
        out: folder of the masks, with the same names as the strokes; made if need be.
        resume: leave out images whose mask is there.
        overwrite: write masks anew.
        progress: show a bar.

    Raises:
        UsageError: a folder does not fit, there is nothing to do, or there are masks already and
            neither ``resume`` nor ``overwrite`` is given.
    """
    found, failed = _pair(Path(images), Path(strokes))
    out = Path(out)
    if out.resolve() in (Path(images).resolve(), Path(strokes).resolve()):
        raise UsageError(f"'{out}' holds the images or strokes: masks need a folder of their own.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"'{out}' is a file: give a folder for the masks.")
    there = [stem for stem in found if (out / f"{stem}.png").exists()]
    if there and not (resume or overwrite):
        raise UsageError(
            f"'{out}' has {len(there)} of the masks already ({there[0]}.png, ...): --resume leaves "
            "these out, --overwrite writes them anew."
        )
    report = FolderReport(failed=failed)
    for stem, (image, stroke) in tqdm(found.items(), desc="refine", disable=not progress):
        target = out / f"{stem}.png"
        if resume and target.exists():
            report.skipped.append(target.name)
            continue
        try:
            mask = refine(image, stroke)
        except (ValueError, OSError) as error:
            report.failed[image.name] = str(error)
            continue
        buffer = io.BytesIO()
        Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(buffer, "PNG")
        write_bytes(target, buffer.getvalue())
        report.written.append(target.name)
        if not mask.any():
            report.empty.append(target.name)
    return report


def _pair(images: Path, strokes: Path) -> tuple[dict[str, tuple[Path, Path]], dict[str, str]]:
    """Image and stroke by stem, and what has no partner."""
    for folder in (images, strokes):
        if not folder.is_dir():
            raise UsageError(f"folder '{folder}' not found (looked from {Path.cwd()}).")
    named: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(images.iterdir()):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            named[path.stem].append(path)
    painted = {path.stem: path for path in sorted(strokes.glob("*.png"))}
    found, failed = {}, {}
    for stem, paths in named.items():
        if len(paths) > 1:
            others = ", ".join(path.name for path in paths)
            failed[stem] = f"{len(paths)} images of one stem ({others}): rename all but one"
        elif stem in painted:
            found[stem] = paths[0], painted[stem]
        else:
            failed[paths[0].name] = f"no stroke '{stem}.png' in '{strokes}'"
    for stem in painted.keys() - named.keys():
        failed[painted[stem].name] = f"a stroke without an image of this stem in '{images}'"
    if not found:
        raise UsageError(
            f"no image in '{images}' ({', '.join(SUFFIXES)}) has a stroke of its stem as .png in "
            f"'{strokes}'."
        )
    return found, failed
