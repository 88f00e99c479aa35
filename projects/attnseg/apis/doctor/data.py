"""All labelled files of a config, checked in one go; docs/doctor.md."""

import random
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from attnseg._atomic import write_json
from attnseg.apis.command import UsageError
from attnseg.apis.experiment import build_config

from .catalogue import FAULT
from .coco_lists import read_contents
from .contents import Contents, Entry
from .cross_checks import check_evaluators, check_model, check_things
from .duplicates import find_copies
from .findings import Findings
from .folders import check_folders, check_presence, find_unnamed
from .image_files import ImageFacts, compare_images, quiet, read_image, threads
from .panoptic_maps import compare_segments, read_segments
from .printing import print_report
from .semantic_maps import compare_map, finish_maps, list_maps, read_map
from .sets import INSTANCES, PANOPTIC, SEMANTIC, find_sets
from .sheet import Sample, draw_sheet

_T = TypeVar("_T")


@dataclass
class DataReport:
    """What the doctor found.

    Attributes:
        config: The config, as it was given.
        contents: The sets that could be read.
        findings: What is wrong with them.
        samples: Images chosen for the sheet.
        images_read: Whether images and maps were decoded.
    """

    config: str
    contents: list[Contents] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    samples: list[Sample] = field(default_factory=list)
    images_read: bool = True

    def as_json(self) -> dict[str, Any]:
        """All of it in plain values."""
        return {
            "config": self.config,
            "images_read": self.images_read,
            "counts": self.findings.counts(),
            "sets": [contents.as_json() for contents in self.contents],
            "findings": [finding.as_json() for finding in self.findings],
        }


def run_data(
    config: str,
    *,
    data: str | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    images: bool = True,
    sheet: str | None = None,
    json: str | None = None,
    samples: int = 12,
    seed: int = 0,
) -> int:
    """Check the data of a config and print what was found.

    Args:
        config: As for :func:`~attnseg.apis.experiment.find_config`.
        data: Takes the place of the config's data folder.
        cfg_options: Dotted keys -> values.
        images: Read the image files and label maps too, not only the annotation files.
        sheet: PNG file for pictures of labelled samples.
        json: File for the report.
        samples: Number of pictures on the sheet, at least 1.
        seed: Of the choice of samples.

    Returns:
        Exit status: 1 if there is a fault, else 0.

    Raises:
        UsageError: The config cannot be read, names no data, or an argument does not fit.
    """
    if samples < 1:
        raise UsageError(f"--samples {samples}: at least 1.")
    if sheet is not None and Path(sheet).suffix.lower() != ".png":
        raise UsageError(f"--sheet {sheet}: the sheet is a PNG file, give it a name in .png.")
    cfg = build_config(config, data=data, cfg_options=cfg_options)
    report = check_data(cfg, images, samples if sheet else 0, seed, sys.stderr.isatty())
    report.config = str(config)
    print_report(report)
    if json is not None:
        write_json(json, report.as_json())
    if sheet is not None:
        if report.samples:
            draw_sheet(report.samples, Path(sheet))
            print(f"sheet: {sheet} ({len(report.samples)} samples)")
        else:
            print("sheet: none drawn, no set has images to show")
    return int(report.findings.counts()[FAULT] > 0)


def check_data(
    cfg: Any, images: bool = True, samples: int = 0, seed: int = 0, bar: bool = False
) -> DataReport:
    """Check the data of a config.

    Args:
        cfg: As :func:`~attnseg.apis.experiment.build_config` gives it.
        images: Read the image files and label maps too.
        samples: Number of images to choose for a sheet.
        seed: Of that choice.
        bar: Show progress bars.

    Raises:
        UsageError: The config names no labelled data.
    """
    quiet()
    report = DataReport(str(cfg.filename), images_read=images)
    findings = report.findings
    sets = find_sets(cfg, findings)
    if not sets and not list(findings):
        raise UsageError(f"{cfg.filename} has no data set to check: no *_dataloader names one.")
    shares = _shares(samples, sum(source.images is not None for source in sets))
    for source in sets:
        if source.form == SEMANTIC:
            contents = list_maps(source, findings)
        else:
            contents = read_contents(source, findings, _progress(bar))
        if contents is None:
            continue
        check_folders(contents, findings)
        report.contents.append(contents)
        share = next(shares, 0) if source.images is not None else 0
        report.samples += _choose(contents, share, seed)
        if source.form == INSTANCES:
            # Objects are checked; those of large files would fill the memory.
            for entry in contents.entries:
                entry.objects = []
    check_model(cfg.get("model"), report.contents, findings)
    check_evaluators(report.contents, findings)
    check_things(report.contents, findings)
    if images:
        _check_files(report.contents, findings, bar)
    else:
        for contents in report.contents:
            check_presence(contents, findings)
    find_unnamed(report.contents, findings)
    return report


def _shares(total: int, sets: int) -> Iterable[int]:
    return iter([total // sets + (number < total % sets) for number in range(sets)])


def _choose(contents: Contents, count: int, seed: int) -> list[Sample]:
    usable = [entry for entry in contents.entries if entry.path is not None]
    chosen = random.Random(seed).sample(usable, min(count, len(usable)))
    return [Sample(contents, entry, list(entry.objects)) for entry in chosen]


def _check_files(all_contents: Sequence[Contents], findings: Findings, bar: bool) -> None:
    entries = [entry for contents in all_contents for entry in contents.entries]
    facts = _read_all((entry.path for entry in entries), read_image, "images", bar)
    for contents in all_contents:
        compare_images(contents, facts, findings)
    find_copies(all_contents, facts, findings)
    for form, read in ((PANOPTIC, read_segments), (SEMANTIC, read_map)):
        chosen = [contents for contents in all_contents if contents.source.form == form]
        paths = (entry.map_path for contents in chosen for entry in contents.entries)
        maps = _read_all(paths, read, "label maps", bar)
        for contents in chosen:
            _compare_maps(contents, maps, facts, findings)


def _compare_maps(
    contents: Contents,
    maps: Mapping[str, Any],
    facts: Mapping[str, ImageFacts],
    findings: Findings,
) -> None:
    for entry in (e for e in contents.entries if e.map_path is not None):
        if contents.source.form == PANOPTIC:
            compare_segments(entry, maps[entry.map_path], contents, findings)
        else:
            compare_map(entry, maps[entry.map_path], _size(entry, facts), contents, findings)
    if contents.source.form == SEMANTIC and contents.entries:
        finish_maps(contents, findings)


def _size(entry: Entry, facts: Mapping[str, ImageFacts]) -> tuple[int, int] | None:
    found = facts.get(entry.path or "")
    return found.size if found is not None and found.problem is None else None


def _read_all(
    paths: Iterable[str | None], read: Callable[[str], _T], what: str, bar: bool
) -> dict[str, _T]:
    """Read each file once."""
    wanted = list(dict.fromkeys(path for path in paths if path is not None))
    if not wanted:
        return {}
    with ThreadPool(threads()) as pool:
        results = pool.imap(read, wanted, chunksize=4)
        return dict(zip(wanted, _progress(bar)(results, what, len(wanted)), strict=True))


def _progress(bar: bool) -> Callable[..., Iterable[Any]]:
    def wrap(items: Iterable[Any], what: str, total: int | None = None) -> Iterable[Any]:
        return tqdm(items, what, total, leave=False, disable=not bar, unit="", dynamic_ncols=True)

    return wrap
