"""Images to segment, and the files of what was found in them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from attnseg._atomic import replace_file, write_bytes, write_json
from attnseg.apis.command import UsageError
from attnseg.apis.refine_images import SUFFIXES
from attnseg.apis.segmentation import ClassList, Segmentation
from attnseg.compat import id2rgb
from attnseg.evaluation.submission.class_png import class_png_type, write_class_png
from attnseg.evaluation.submission.json_stream import read_json_list, write_json_list
from attnseg.evaluation.submission.png import png_bytes

Given = str | Path | NDArray[Any]
IMAGES, RESULTS = "images.json", "coco_results.json"


class Item(NamedTuple):
    """An image to do.

    Attributes:
        given: Path or array.
        name: What it is called.
        stem: Of the files about it, below each folder of the results.
        strokes: To refine; none for other models.
    """

    given: Given
    name: str
    stem: str
    strokes: Sequence[Given] = ()


@dataclass
class SegmentReport:
    """What became of several images.

    Attributes:
        out_dir: Folder of the results.
        written: Names of the images that were done.
        failed: Name of the image -> what is wrong with it.
    """

    out_dir: Path
    written: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def find_images(folder: Path, recursive: bool) -> list[Path]:
    """The images of a folder, sorted; hidden files are left out.

    Raises:
        UsageError: There is none.
    """
    pattern = "**/*" if recursive else "*"
    found = sorted(
        path
        for path in folder.glob(pattern)
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    if found:
        return found
    below = not recursive and any(path.suffix.lower() in SUFFIXES for path in folder.rglob("*"))
    raise UsageError(
        f"folder '{folder}' has no image ({', '.join(SUFFIXES)})"
        + ("; its folders have some: --recursive (recursive=True)." if below else ".")
    )


def name_images(given: Sequence[Given], folder: Path | None = None) -> list[Item]:
    """Names of images, and stems that no two of them share.

    The stem is the file's; where several have one, their whole names are taken.
    """
    names = [
        f"{number:08}"
        if not isinstance(one, (str, Path))
        else Path(one).relative_to(folder).as_posix()
        if folder
        else Path(one).name
        for number, one in enumerate(given)
    ]
    stems = [str(Path(name).with_suffix("")) if Path(name).suffix else name for name in names]
    # Some file systems do not tell small letters from capitals.
    counts = Counter(stem.casefold() for stem in stems)
    taken: set[str] = set()
    items = []
    for one, name, stem in zip(given, names, stems, strict=True):
        base = chosen = stem if counts[stem.casefold()] == 1 else name
        number = 1
        while chosen.casefold() in taken:
            number += 1
            chosen = f"{base}-{number}"
        taken.add(chosen.casefold())
        items.append(Item(one, name, chosen))
    return items


class ResultWriter:
    """Writes what was found, image after image.

    ::

        semantic/<stem>.png    labels in gray, 8 or 16 bits; the highest value where there is none
        panoptic/<stem>.png    segment id = R + 256 G + 65536 B, 0 where there is none
        panoptic/<stem>.json   id, category_id, category, isthing and area of each segment
        instances/<stem>.json  COCO results of the image: mask, box, score, category
        overlay/<stem>.png     the picture
        images.json            names, sizes and ids of the images, the classes, and what failed
        coco_results.json      all of ``instances``, as COCO's tools read it

    Category ids are those of the labels plus 1, image ids count from 1. Each file is complete or
    absent; the last two are written at the end.

    Args:
        out_dir: Folder, made if need be.
        classes: Of the model.
        overwrite: Whether it may have files. They are replaced one by one; those of other images
            stay.

    Raises:
        UsageError: It has files, is none, or cannot be written.
    """

    def __init__(self, out_dir: str | Path, classes: ClassList, overwrite: bool = False) -> None:
        self.out_dir, self._classes = Path(out_dir), classes
        try:
            self.out_dir.mkdir(parents=True, exist_ok=True)
            if not overwrite and any(self.out_dir.iterdir()):
                raise UsageError(
                    f"folder '{out_dir}' has files: give another, or --overwrite "
                    "(overwrite=True) to replace those of the same names."
                )
            # Found out before the first image is segmented, which may take long.
            with TemporaryFile(dir=self.out_dir):
                pass
        except OSError as error:
            raise _not_written(self.out_dir, error) from error

    def write_all(self, items: Sequence[Item], results: Iterable[Segmentation]) -> SegmentReport:
        """Write results as they come; memory holds no more than two.

        Raises:
            UsageError: A file cannot be written.
        """
        report = SegmentReport(self.out_dir)
        images, with_instances = [], []
        bar = tqdm(zip(items, results, strict=True), "segment", len(items), disable=None)
        try:
            for number, (item, result) in enumerate(bar, 1):
                if result.error is not None:
                    report.failed[item.name] = result.error
                    continue
                height, width = result.size
                images.append(
                    {"id": number, "file_name": item.name, "height": height, "width": width}
                )
                self._write(item.stem, number, result)
                report.written.append(item.name)
                if result.instances is not None:
                    with_instances.append(item.stem)
            self._write_index(images, report)
            if with_instances:
                self._merge(with_instances)
        except OSError as error:
            raise _not_written(self.out_dir, error) from error
        return report

    def _write(self, stem: str, number: int, result: Segmentation) -> None:
        count = len(self._classes.names)
        if result.semantic is not None:
            void = int(np.iinfo(class_png_type(count)).max)
            write_class_png(self._path("semantic", stem), result.semantic, count, void=void)
        if result.panoptic is not None:
            write_bytes(self._path("panoptic", stem), png_bytes(id2rgb(result.panoptic)))
            segments = [
                {
                    "id": segment.id,
                    "category_id": segment.label + 1,
                    "category": segment.class_name,
                    "isthing": int(segment.is_thing),
                    "area": segment.area,
                }
                for segment in result.segments or ()
            ]
            write_json(self._path("panoptic", stem, ".json"), segments)
        if result.instances is not None:
            with replace_file(self._path("instances", stem, ".json")) as file:
                write_json_list(
                    file,
                    (
                        {
                            "image_id": number,
                            "category_id": found.label + 1,
                            "category": found.class_name,
                            "score": found.score,
                            "bbox": found.box,
                            "segmentation": found.rle,
                        }
                        for found in result.instances
                    ),
                )
        write_bytes(self._path("overlay", stem), png_bytes(result.overlay()))

    def _write_index(self, images: list[dict[str, Any]], report: SegmentReport) -> None:
        pairs = zip(self._classes.names, self._classes.things, strict=True)
        categories = [
            {"id": label + 1, "name": name, "isthing": int(thing)}
            for label, (name, thing) in enumerate(pairs)
        ]
        index = {"images": images, "categories": categories, "failed": report.failed}
        write_json(self.out_dir / IMAGES, index)

    def _merge(self, stems: list[str]) -> None:
        def records() -> Iterator[dict[str, Any]]:
            for stem in stems:
                path = self._path("instances", stem, ".json")
                with path.open("rb") as file:
                    yield from read_json_list(file, str(path))

        with replace_file(self.out_dir / RESULTS) as file:
            write_json_list(file, records())

    def _path(self, kind: str, stem: str, suffix: str = ".png") -> Path:
        return self.out_dir / kind / f"{stem}{suffix}"


def _not_written(folder: Path, error: OSError) -> UsageError:
    return UsageError(
        f"'{folder}' cannot be written: {error.strerror or error}. Give a folder that can."
    )
