"""Ground truth of instances: from a COCO json, or from what a data sample carries."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from attnseg.coco_files import check_image_name, read_coco_json
from attnseg.evaluation.base import to_numpy
from attnseg.evaluation.classes import match_categories, thing_flags
from attnseg.evaluation.masks import encode_masks, encode_segmentation, mask_areas
from attnseg.rle import run_lengths

Record = dict[str, Any]


class InstanceTruth:
    """Objects of a COCO instances json in terms of the labels of a data set.

    Args:
        ann_file: The json.
        iou_type: 'segm' or 'bbox': what the annotations must have.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not an instances json, or an entry lacks a key.
    """

    def __init__(self, ann_file: str, iou_type: str) -> None:
        need = ("annotations",) + (("annotation.segmentation",) if iou_type == "segm" else ())
        content = read_coco_json(ann_file, "instances", need)
        self.ann_file = str(ann_file)
        self._masks = iou_type == "segm"
        self._categories = content["categories"]
        self._images = {image["id"]: image for image in content["images"]}
        self._annotations: dict[int, list[Record]] = defaultdict(list)
        for annotation in content["annotations"]:
            self._annotations[annotation["image_id"]].append(annotation)

    def labels(self, classes: tuple[str, ...], meta: Mapping[str, Any] | None) -> dict[int, int]:
        """Map category ids to labels; only things can occur.

        Raises:
            ValueError: If the json lacks a class that is a thing.
        """
        flags = thing_flags(classes, meta)
        things = [label for label, thing in enumerate(flags) if thing]
        names = [classes[label] for label in things]
        ids = match_categories(names, [True] * len(names), self._categories, self.ann_file)
        return dict(zip(ids, things, strict=True))

    def objects(
        self, sample: Mapping[str, Any], labels: Mapping[int, int]
    ) -> tuple[list[Record], tuple[int, int]]:
        """COCO annotations of an image, with labels in place of category ids.

        Args:
            sample: With ``img_id``, and ``img_path`` for a check against the json's file name.
            labels: Label of each category id; objects of other categories are left out.

        Returns:
            The annotations, and the height and width of the image.

        Raises:
            KeyError: If the json has no such image.
            ValueError: If the json's image of this id has another file name, or a mask is broken.
        """
        img_id: Any = sample.get("img_id")
        image = self._images.get(img_id)
        if image is None:
            raise KeyError(
                f"'{self.ann_file}' has no image id {img_id!r}: the metric's 'ann_file' and the "
                "data set's differ."
            )
        listed = image.get("file_name")
        check_image_name(img_id, sample.get("img_path"), listed, f"'{self.ann_file}'")
        size = int(image["height"]), int(image["width"])
        records = []
        for annotation in self._annotations.get(img_id, []):
            label = labels.get(annotation["category_id"])
            if label is None:
                continue
            record = {
                "category_id": label,
                "iscrowd": int(annotation.get("iscrowd", 0)),
                "bbox": annotation["bbox"],
                # COCO sorts objects into size classes by the file's own area.
                "area": float(annotation["area"]),
            }
            if self._masks:
                owner = f"annotation {annotation.get('id')} (img_id {img_id}) in '{self.ann_file}'"
                segmentation = annotation["segmentation"]
                if isinstance(segmentation, dict):
                    _check_rle(segmentation, owner)
                record["segmentation"] = encode_segmentation(segmentation, size, owner)
            records.append(record)
        return records, size


def _check_rle(rle: Mapping[str, Any], owner: str) -> None:
    """The decoders in C trust what they read."""
    try:
        run_lengths(rle)
    except ValueError as error:
        raise ValueError(f"{owner}: {error}.") from error


def sample_objects(
    sample: Mapping[str, Any], size: tuple[int, int], iou_type: str, owner: str
) -> list[Record]:
    """Objects that a data sample carries, as COCO annotations with labels as category ids.

    Reads mmdet's ``gt_instances`` and ``ignored_instances`` (crowds), or the raw ``instances``.
    Boxes come from ``instances`` where there are any: those of ``gt_instances`` are resized with
    the image if annotations are loaded before it is.

    Raises:
        KeyError: If the sample has none of them, or no masks.
        ValueError: If masks are not of the size of the image, or nothing tells whether boxes are.
    """
    raw = iou_type == "bbox" and sample.get("instances") is not None
    if sample.get("gt_instances") is not None and not raw:
        if iou_type == "bbox":
            _check_scale(sample, size, owner)
        groups = [(sample["gt_instances"], 0), (sample.get("ignored_instances"), 1)]
        records: list[Record] = []
        for group, crowd in groups:
            if group is None or not len(group["labels"]):
                continue
            labels = to_numpy(group["labels"]).tolist()
            records += _records(
                labels,
                [crowd] * len(labels),
                group.get("bboxes"),
                group.get("masks"),
                size,
                iou_type,
                owner,
            )
        return records
    if sample.get("instances") is None:
        raise KeyError(
            f"{owner} carries no ground truth: give the metric 'ann_file', or add 'instances' to "
            "the 'meta_keys' of PackDetInputs."
        )
    instances = sample["instances"]
    masks = [i.get("mask") for i in instances]
    return _records(
        [int(i["bbox_label"]) for i in instances],
        [int(i.get("ignore_flag", 0)) for i in instances],
        [i["bbox"] for i in instances],
        None if any(mask is None for mask in masks) else masks,
        size,
        iou_type,
        owner,
    )


def _check_scale(sample: Mapping[str, Any], size: tuple[int, int], owner: str) -> None:
    scale, masks = sample.get("scale_factor"), sample["gt_instances"].get("masks")
    if scale is None or all(factor == 1 for factor in scale):
        return
    if (getattr(masks, "height", None), getattr(masks, "width", None)) == size:
        return
    raise ValueError(
        f"The true boxes of {owner} may be those of the resized image (scale_factor {scale}): give "
        "the metric 'ann_file', or add 'instances' to the 'meta_keys' of PackDetInputs."
    )


def _records(
    labels: Sequence[int],
    crowd: Sequence[int],
    boxes: Any,
    masks: Any,
    size: tuple[int, int],
    iou_type: str,
    owner: str,
) -> list[Record]:
    wanted = masks if iou_type == "segm" else boxes
    if wanted is None:
        what = "masks" if iou_type == "segm" else "boxes"
        raise KeyError(f"The ground truth of {owner} has no {what}: load them in the pipeline.")
    if iou_type == "segm":
        rles = encode_masks(masks, size, owner)
        return [
            {"category_id": c, "iscrowd": i, "segmentation": r, "area": a, "bbox": [0.0] * 4}
            for c, i, r, a in zip(labels, crowd, rles, mask_areas(rles), strict=True)
        ]
    return [
        {"category_id": c, "iscrowd": i, "bbox": b, "area": b[2] * b[3]}
        for c, i, b in zip(labels, crowd, xywh(boxes), strict=True)
    ]


def xywh(boxes: Any) -> list[list[float]]:
    """Turn boxes (n, 4) of x1, y1, x2, y2 into COCO's x, y, width, height."""
    if hasattr(boxes, "tensor"):
        boxes = boxes.tensor
    corners = to_numpy(boxes).astype(np.float64).reshape(-1, 4)
    return np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]).tolist()
