"""Ground truth of a COCO panoptic json and its PNG files, read one image at a time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from attnseg.coco_files import check_image_name, read_coco_json, read_segment_ids, relabel
from attnseg.evaluation.classes import match_categories, thing_flags
from attnseg.evaluation.functional.panoptic_quality import Segment
from attnseg.file_names import check_names

VOID_ID = 0


class PanopticTruth:
    """Panoptic ground truth in terms of the labels of a data set.

    Args:
        ann_file: Panoptic json (``segments_info`` in each annotation).
        seg_prefix: Folder of the PNG files, ids as R + 256 G + 256^2 B.

    Raises:
        FileNotFoundError: If the json or the folder does not exist.
        ValueError: If the json is not a panoptic one, or an entry lacks a key.
    """

    def __init__(self, ann_file: str, seg_prefix: str) -> None:
        content = read_coco_json(ann_file, "panoptic", ("annotations", "annotation.file_name"))
        if not Path(seg_prefix).is_dir():
            raise FileNotFoundError(
                f"'{seg_prefix}' is not a folder; expected the panoptic PNGs ('seg_prefix')."
            )
        names = (annotation["file_name"] for annotation in content["annotations"])
        check_names(names, f"'{ann_file}'", f"'{seg_prefix}'", "Correct the file.")
        self.ann_file = str(ann_file)
        self.seg_prefix = Path(seg_prefix)
        self._categories = content["categories"]
        self._annotations = {a["image_id"]: a for a in content["annotations"]}
        self._names = {image["id"]: image.get("file_name") for image in content["images"]}
        self._labels: dict[int, int] | None = None
        self.is_thing: list[bool] = []

    def set_classes(self, classes: tuple[str, ...], meta: Mapping[str, Any] | None) -> None:
        """Match the labels of the data set with the categories of the json, by name.

        Raises:
            ValueError: If the json lacks a class.
        """
        flags = thing_flags(classes, meta)
        ids = match_categories(classes, flags, self._categories, self.ann_file)
        isthing = {c["id"]: bool(c.get("isthing", 1)) for c in self._categories}
        self.is_thing = [isthing[i] for i in ids]
        self._labels = {category: label for label, category in enumerate(ids)}

    def segments(
        self, img_id: int | None, size: tuple[int, int], img_path: str | None = None
    ) -> tuple[np.ndarray, dict[int, Segment]]:
        """Read the segments of an image, at their original size.

        Segments of categories that are no class of the data set are void.

        Args:
            img_id: Image id of the json.
            size: Height and width that the prediction has.
            img_path: Path of the image, for a check against the json's file name.

        Returns:
            Segment ids (H, W), and the segment of each id.

        Raises:
            KeyError: If the json has no such image.
            FileNotFoundError: If the PNG is missing.
            ValueError: If the json's image of this id has another file name (its suffix aside), or
                if the PNG cannot be read, has another size, or has segments that the json does
                not list.
            RuntimeError: If `set_classes` was not called.
        """
        if self._labels is None:
            raise RuntimeError("set_classes() must be called first.")
        annotation = self._annotations.get(img_id)
        if annotation is None:
            raise KeyError(
                f"'{self.ann_file}' has no annotation of image id {img_id!r}: the metric's "
                "'ann_file' and the data set's differ."
            )
        listed = self._names[img_id]
        check_image_name(img_id, img_path, listed, f"'{self.ann_file}'", suffix=False)
        path = self.seg_prefix / annotation["file_name"]
        ids = read_segment_ids(str(path))
        if ids.shape != tuple(size):
            raise ValueError(
                f"Image id {img_id!r}: the prediction has size (H, W) = {tuple(size)}, '{path}' "
                f"has {ids.shape}. Predictions must be at the original size ('ori_shape')."
            )
        infos = {info["id"]: info for info in annotation["segments_info"]}
        unknown = sorted(set(np.unique(ids).tolist()) - set(infos) - {VOID_ID})
        if unknown:
            raise ValueError(
                f"'{path}' has segment ids {unknown[:5]} that '{self.ann_file}' does not list for "
                f"image id {img_id!r}."
            )
        return ids, {
            key: Segment(self._labels[info["category_id"]], bool(info.get("iscrowd", 0)))
            for key, info in infos.items()
            if info["category_id"] in self._labels
        }

    def semantic_map(
        self, img_id: int | None, size: tuple[int, int], void: int, img_path: str | None = None
    ) -> np.ndarray:
        """Read the labels of an image (H, W) int64, with ``void`` where nothing is labelled.

        Crowd regions keep their class. Arguments and errors as in `segments`.
        """
        ids, segments = self.segments(img_id, size, img_path)
        return relabel(ids, {i: part.label for i, part in segments.items()}, void, np.int64)
