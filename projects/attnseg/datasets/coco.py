"""COCO-form data sets: instances, and panoptic."""

from collections.abc import Mapping, Sequence
from os import path as osp
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.datasets import CocoPanopticDataset as MMDetCocoPanopticDataset

from ..coco_files import read_coco_json
from ..file_names import check_names
from ..registry import DATASETS
from .checks import check_paths, join, normalise_metainfo
from .coco_json import ClassTable, class_table, group_by_image
from .mixin import CheckedDataset, own_loader


class _CocoForm(CheckedDataset):
    """Reading that both forms share; the file is parsed once.

    mmdet numbers labels by the order of the categories in the file, whatever the order of
    ``metainfo.classes``. Here the label is always the index of the class name.
    """

    METAINFO: dict[str, Any] = {}
    FORM = ""
    NEED: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        ann_file: str = "",
        metainfo: Mapping[str, Any] | None = None,
        data_root: str | None = None,
        data_prefix: Mapping[str, str | None] | None = None,
        fraction: float = 1.0,
        fraction_seed: int = 0,
        outside_files: bool = False,
        lazy_init: bool = False,
        pipeline: Sequence[Any] = (),
        **kwargs: Any,
    ) -> None:
        self._set_fraction(fraction, fraction_seed)
        self.outside_files = outside_files
        prefix = {key: folder for key, folder in (data_prefix or {}).items() if folder is not None}
        prefix.setdefault("img", "")
        meta = normalise_metainfo(metainfo)
        self._content: dict[str, Any] | None = None
        path = join(data_root, ann_file)
        # Inferencers build a lazy data set for its metainfo, on machines without the data.
        if not lazy_init or ("classes" not in meta and osp.isfile(path)):
            joined = {key: join(data_root, folder) for key, folder in prefix.items()}
            check_paths(data_root, path, {} if lazy_init else joined)
            meta.update(self._read(path, meta))
        super().__init__(
            ann_file=ann_file,
            metainfo=meta,
            data_root=data_root,
            data_prefix=prefix,
            lazy_init=lazy_init,
            pipeline=own_loader(pipeline),
            **kwargs,
        )

    def _read(self, path: str, meta: Mapping[str, Any]) -> dict[str, Any]:
        """Parse the file and give the metainfo that follows from it."""
        if not path:
            raise ValueError(f"{type(self).__name__} needs ann_file, the {self.FORM} json file.")
        self._content = read_coco_json(path, self.FORM, self.NEED)
        self._check_names(path, self._content)
        self._table = class_table(path, self._content, meta)
        return self._meta_of(self._table)

    def _check_names(self, path: str, content: Mapping[str, Any]) -> None:
        """Keep a file from elsewhere from choosing what is opened on this machine."""
        source = f"annotation file '{path}'"
        names = (image["file_name"] for image in content["images"])
        fix = "Set outside_files=True in the data set if you trust the file."
        check_names(names, source, "the folder of images", fix, self.outside_files)
        pngs = (ann["file_name"] for ann in content["annotations"] if ann.get("file_name"))
        check_names(pngs, source, "the folder of panoptic PNGs", "Correct the file.")

    def _meta_of(self, table: ClassTable) -> dict[str, Any]:
        return {"classes": table.classes, "palette": table.palette}

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the images and their objects.

        Returns:
            One dictionary an image, as mmdet's data sets give it.
        """
        if self._content is None:
            check_paths(self.data_root, self.ann_file, self.data_prefix)
            self._metainfo.update(self._read(self.ann_file, self._metainfo))
        content, self._content = self._content, None
        self.cat2label = self._table.cat2label
        self.cat_ids = list(self.cat2label)
        groups = group_by_image(content, self.FORM)
        self.cat_img_map: dict[int, list[Any]] = {cat_id: [] for cat_id in self.cat_ids}
        for img_id, objects in groups.items():
            for cat_id in {part["category_id"] for part in objects} & self.cat_img_map.keys():
                self.cat_img_map[cat_id].append(img_id)
        self._files = self._annotation_files(content)
        return [
            self.parse_data_info(
                {
                    "raw_img_info": {**image, "img_id": image["id"]},
                    "raw_ann_info": groups[image["id"]],
                }
            )
            for image in content["images"]
        ]

    def _annotation_files(self, content: Mapping[str, Any]) -> dict[Any, str]:
        """Name of the PNG of each image id, where the annotations say it."""
        return {
            ann["image_id"]: ann["file_name"]
            for ann in content["annotations"]
            if ann.get("file_name")
        }


@DATASETS.register_module()
class CocoInstanceDataset(_CocoForm, CocoDataset):
    """Instances of a COCO-form json (polygons or RLE).

    Args:
        ann_file: The json, below ``data_root``.
        metainfo: ``classes`` (names wanted, in the order of the labels; all of the file by
            category id if left out; a string is one class or a list file) and ``palette``.
        data_root: Folder of the data set.
        data_prefix: ``img``: folder of the images.
        fraction: Share of the images to keep, chosen at random with ``fraction_seed``; smaller
            fractions are subsets of larger ones.
        fraction_seed: Seed of that choice.
        outside_files: Whether the file may name images that lie outside ``data_prefix.img``, as
            those of our converters do where images stay where they are.
        lazy_init: Read nothing until ``full_init()``; without ``classes``, the file is read
            if it is there.
        pipeline: Transforms; a bare ``LoadImageFromFile`` is read as ``attnseg.LoadImage``.
        **kwargs: As of mmdet's ``CocoDataset``: ``test_mode``,
            ``filter_cfg=dict(filter_empty_gt=..., min_size=...)`` and so on.

    Raises:
        FileNotFoundError: Naming path, config key and fix, where a folder or file is missing.
        ValueError: Naming the file, if classes match nothing in it, an entry lacks a key, or no
            image is left.
    """

    FORM = "instances"
    NEED = ("image.file_name", "annotation.segmentation")


@DATASETS.register_module()
class CocoPanopticDataset(_CocoForm, MMDetCocoPanopticDataset):
    """Panoptic segments of a COCO-form json and its PNG folder.

    Labels: things 0 to T-1, then stuff T to T+S-1, each in the order of ``classes`` or, where it
    is left out, of the category ids. Metainfo holds ``thing_classes`` and ``stuff_classes``.

    Args: as :class:`CocoInstanceDataset`, with ``data_prefix.seg``, the folder of the PNGs.
    Segments of categories outside ``classes`` are left out, and so become void.

    Raises:
        FileNotFoundError: Naming path, config key and fix, where a folder or file is missing.
        ValueError: Naming the file, if classes match nothing in it, an entry lacks a key, or no
            image is left.
    """

    FORM = "panoptic"
    NEED = ("image.file_name", "segment.area", "segment.bbox")

    def _meta_of(self, table: ClassTable) -> dict[str, Any]:
        return {
            **super()._meta_of(table),
            "thing_classes": table.classes[: table.num_things],
            "stuff_classes": table.classes[table.num_things :],
        }

    def parse_data_info(self, raw_data_info: dict[str, Any]) -> dict[str, Any]:
        """Turn one image and its segments into mmdet's form.

        Crowds of things become segments without an instance, as in mmdet.

        Returns:
            With ``instances`` (boxes x1, y1, x2, y2 in pixels) and ``segments_info``.
        """
        image = raw_data_info["raw_img_info"]
        name = self._files.get(image["img_id"], osp.splitext(image["file_name"])[0] + ".png")
        seg = self.data_prefix.get("seg")
        info: dict[str, Any] = {
            "img_path": osp.join(self.data_prefix["img"], image["file_name"]),
            "img_id": image["img_id"],
            "seg_map_path": osp.join(seg, name) if seg else None,
            "height": image["height"],
            "width": image["width"],
            "instances": [],
            "segments_info": [],
        }
        if self.return_classes:
            info["text"] = self.metainfo["thing_classes"]
            info["stuff_text"] = self.metainfo["stuff_classes"]
            info["custom_entities"] = True
        for part in raw_data_info["raw_ann_info"]:
            label = self.cat2label.get(part["category_id"])
            x, y, width, height = part["bbox"]
            if label is None or part["area"] <= 0 or width < 1 or height < 1:
                continue
            instance = label < self._table.num_things and not part.get("iscrowd")
            info["segments_info"].append(
                {"id": part["id"], "category": label, "is_thing": instance}
            )
            if instance:
                box = [x, y, x + width, y + height]
                info["instances"].append({"bbox": box, "bbox_label": label, "ignore_flag": 0})
        return info
