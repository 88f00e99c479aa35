"""ADE20K -> COCO forms, by the converter that mmdet ships, with its boxes put right."""

import json
import runpy
import sys
from pathlib import Path

import mmdet
import numpy as np
from mmengine.utils import track_iter_progress

from ...coco_files import read_segment_ids
from ...compat import setup_env
from ..panoptic_png import measure
from .files import write_json

NEEDED = {
    "panoptic": ("images", "annotations", "annotations_instance"),
    "instance": ("images", "annotations_instance", "imgCatIds.json", "categoryMapping.txt"),
}


def convert_ade20k(root: str | Path, task: str = "panoptic") -> None:
    """Write ``ade20k_<task>_{train,val}.json`` (and PNG folders) into ``root``.

    Args:
        root: Folder ``ADEChallengeData2016``; for ``annotations_instance`` and, for instances,
            ``imgCatIds.json`` and ``categoryMapping.txt``, see the instance track of the
            challenge.
        task: ``panoptic`` or ``instance``.

    Raises:
        FileNotFoundError: Naming what is missing in ``root``.
        ValueError: If the task is another.
        RuntimeError: If the annotations exist already, or mmdet came without its tools.
    """
    root = Path(root)
    if task not in NEEDED:
        raise ValueError(f"task must be one of {tuple(NEEDED)}, got '{task}'.")
    missing = [name for name in NEEDED[task] if not (root / name).exists()]
    if missing:
        raise FileNotFoundError(
            f"ADE20K folder '{root}' lacks {', '.join(missing)}: give the folder "
            "ADEChallengeData2016 with images and annotations, and put the files of the instance "
            "track into it."
        )
    setup_env()
    script = Path(mmdet.__file__).parent / ".mim/tools/dataset_converters/ade20k2coco.py"
    if not script.is_file():
        raise RuntimeError(
            f"mmdet's converter '{script}' is missing: install onedl-mmdetection from a wheel."
        )
    arguments, sys.argv = sys.argv, [str(script), str(root), "--task", task]
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv = arguments
    if task == "panoptic":
        for split in ("train", "val"):
            _correct_boxes(root / f"ade20k_panoptic_{split}.json")


def _correct_boxes(path: Path) -> None:
    """Measure the segments again: mmdet's converter gives objects a wrong x and width.

    With widths of 0 and less, loaders would drop these objects without a word.
    """
    content = json.loads(path.read_text())
    for annotation in track_iter_progress(content["annotations"]):
        ids = read_segment_ids(str(path.with_suffix("") / annotation["file_name"]))
        present = set(np.unique(ids).tolist())
        # Objects may have been painted over all of a stuff segment.
        seen = [part for part in annotation["segments_info"] if part["id"] in present]
        annotation["segments_info"] = [{**part, **measure(ids == part["id"])} for part in seen]
    write_json(path, content)
