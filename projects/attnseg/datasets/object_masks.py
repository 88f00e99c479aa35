"""Single objects of COCO-form files, for the refinement of masks."""

from collections.abc import Mapping, Sequence
from os import path as osp
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from ..registry import DATASETS
from .coco import _CocoForm

_CHOICES = ("all", "largest")


@DATASETS.register_module()
class ObjectMaskDataset(_CocoForm, BaseDataset):
    """One sample an object of a COCO-form json (polygons or RLE).

    A sample has ``img_id``, ``ann_id``, ``img_path``, ``height``, ``width``, ``class_name``,
    ``area``, and the object itself in mmdet's form as the one entry of ``instances``. Objects
    whose box lies beside the image, which have no pixel to learn from or to compare, are left out
    and counted in the log; so are images without a usable object, uncounted.

    Args:
        objects: ``all``, or the ``largest`` by annotated area of each image, the first of equals,
            as in NeuralSegmentello.
        min_area: Objects with a smaller annotated area (square pixels) are left out.
        crowd: Take crowds too; NeuralSegmentello does.
        ann_file: The json, below ``data_root``.
        metainfo: ``classes`` (names wanted; all of the file if left out) and ``palette``.
        data_root: Folder of the data set.
        data_prefix: ``img``: folder of the images.
        fraction: Share of the images to keep, chosen at random with ``fraction_seed``; smaller
            fractions are subsets of larger ones.
        fraction_seed: Seed of that choice.
        lazy_init: Read nothing until ``full_init()``.
        pipeline: Transforms.
        **kwargs: As of mmengine's ``BaseDataset``: ``test_mode``, ``indices`` and so on.

    Raises:
        FileNotFoundError: Naming path, config key and fix, where a folder or file is missing.
        ValueError: Naming the file, if an argument or a class does not fit, an entry lacks a key,
            or no object is left.
    """

    FORM = "instances"
    NEED = ("image.file_name", "annotation.segmentation")

    def __init__(
        self,
        *,
        objects: str = "all",
        min_area: float = 1024,
        crowd: bool = False,
        **kwargs: Any,
    ) -> None:
        if objects not in _CHOICES:
            raise ValueError(f"objects must be one of {', '.join(_CHOICES)}, got {objects!r}.")
        if min_area < 0:
            raise ValueError(f"min_area must be 0 or more square pixels, got {min_area}.")
        self.objects, self.min_area, self.crowd = objects, min_area, crowd
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the images and their objects; logs how many lie beside their image.

        Returns:
            One dictionary an image, with its objects in ``instances``.
        """
        self._outside = 0
        images = super().load_data_list()
        if self._outside:
            print_log(
                f"'{self.ann_file}': {_counted(self._outside)} outside their image: left out.",
                logger="current",
            )
        return images

    def parse_data_info(self, raw_data_info: Mapping[str, Any]) -> dict[str, Any]:
        """Turn one image and its objects into one dictionary.

        Returns:
            With the chosen objects in ``instances``.
        """
        image = raw_data_info["raw_img_info"]
        chosen = [
            ann
            for ann in raw_data_info["raw_ann_info"]
            if ann["category_id"] in self.cat2label
            and (self.crowd or not ann.get("iscrowd"))
            and ann["area"] >= self.min_area
        ]
        inside = [ann for ann in chosen if _overlaps(ann["bbox"], image)]
        self._outside += len(chosen) - len(inside)
        chosen = inside
        if self.objects == "largest" and chosen:
            chosen = [max(chosen, key=lambda ann: ann["area"])]
        return {
            "img_path": osp.join(self.data_prefix["img"], image["file_name"]),
            "img_id": image["img_id"],
            "height": image["height"],
            "width": image["width"],
            "instances": [self._instance(ann) for ann in chosen],
        }

    def _instance(self, ann: Mapping[str, Any]) -> dict[str, Any]:
        x, y, width, height = ann["bbox"]
        return {
            "bbox": [x, y, x + width, y + height],
            "bbox_label": self.cat2label[ann["category_id"]],
            "ignore_flag": int(bool(ann.get("iscrowd"))),
            "mask": ann["segmentation"],
            "ann_id": ann["id"],
            "area": float(ann["area"]),
        }

    def _annotation_files(self, content: Mapping[str, Any]) -> dict[Any, str]:
        # Objects of files without ids are numbered as they come.
        for position, ann in enumerate(content["annotations"]):
            ann.setdefault("id", position)
        return {}

    def filter_data(self) -> list[dict[str, Any]]:
        """Leave out images without objects, keep the fraction, and make a sample of each object.

        Raises:
            ValueError: If no object is left: how many images there were, and why.
        """
        found, self.data_list = self.data_list, [i for i in self.data_list if i["instances"]]
        if found and not self.data_list:
            raise ValueError(
                f"0 of {len(found)} images of '{self.ann_file}' have an object of the classes "
                f"{self.metainfo['classes']} with an area of min_area={self.min_area} or more"
                f"{'' if self.crowd else ' that is no crowd (crowd=False)'}"
                f"{f', and {_counted(self._outside)} outside their image' * bool(self._outside)}: "
                "lower min_area, or correct ann_file."
            )
        return [
            {
                **image,
                "instances": [instance],
                "ann_id": instance["ann_id"],
                "area": instance["area"],
                "class_name": self.metainfo["classes"][instance["bbox_label"]],
            }
            for image in super().filter_data()
            for instance in image["instances"]
        ]


def _overlaps(box: Sequence[float], image: Mapping[str, Any]) -> bool:
    """Whether a box x, y, width, height reaches into its image."""
    x, y, width, height = box
    return x < image["width"] and y < image["height"] and x + width > 0 and y + height > 0


def _counted(objects: int) -> str:
    return f"{objects} object{' lies' if objects == 1 else 's lie'}"
