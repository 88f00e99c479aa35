"""Semantic data sets: index PNGs, and the semantic view of panoptic files."""

from collections.abc import Mapping, Sequence
from os import path as osp
from typing import Any

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS as MMSEG_DATASETS

from ..file_names import check_names
from ..registry import DATASETS
from .checks import (
    check_binary_maps,
    check_palette,
    check_paths,
    join,
    make_palette,
    normalise_metainfo,
    read_class_list,
)
from .coco import CocoPanopticDataset
from .mixin import CheckedDataset, own_loader


@DATASETS.register_module()
class SemanticDataset(CheckedDataset, BaseSegDataset):
    """Images with index PNGs (pixel value = label, 255 = void).

    Args:
        metainfo: ``classes`` (a string is one class or a list file) and ``palette``. Without
            classes, ``<data_root>/classes.txt`` gives them, one name a line.
        metainfo_of: Name of a data set of mmseg whose classes and palette are taken instead,
            such as ``ADE20KDataset``.
        data_root: Folder of the data set.
        data_prefix: ``img_path`` and ``seg_map_path``, the folders.
        ann_file: List of image names without suffix; without it, all of ``img_path`` is taken.
        fraction: Share of the images to keep, chosen at random with ``fraction_seed``.
        fraction_seed: Seed of that choice.
        lazy_init: Read nothing until ``full_init()``.
        pipeline: Transforms; a bare ``LoadImageFromFile`` is read as ``attnseg.LoadImage``.
        **kwargs: As of mmseg's ``BaseSegDataset``: ``img_suffix``, ``seg_map_suffix``,
            ``reduce_zero_label`` and so on.

    Raises:
        FileNotFoundError: Naming path, config key and fix, where a folder or file is missing.
        ValueError: If no class list is found, the palette has another length, no image is left,
            or the maps of two classes hold 0 and 255 alone.
    """

    def __init__(
        self,
        *,
        metainfo: Mapping[str, Any] | None = None,
        metainfo_of: str | None = None,
        data_root: str | None = None,
        data_prefix: Mapping[str, str | None] | None = None,
        ann_file: str = "",
        fraction: float = 1.0,
        fraction_seed: int = 0,
        lazy_init: bool = False,
        pipeline: Sequence[Any] = (),
        **kwargs: Any,
    ) -> None:
        self._set_fraction(fraction, fraction_seed)
        prefix = {"img_path": "", "seg_map_path": "", **(data_prefix or {})}
        prefix = {key: folder for key, folder in prefix.items() if folder is not None}
        self._to_check = {
            "data_root": data_root,
            "ann_file": join(data_root, ann_file),
            "data_prefix": {key: join(data_root, folder) for key, folder in prefix.items()},
        }
        if not lazy_init:
            check_paths(**self._to_check)
        super().__init__(
            metainfo=self._find_metainfo(metainfo, metainfo_of, data_root),
            data_root=data_root,
            data_prefix=prefix,
            ann_file=ann_file,
            lazy_init=lazy_init,
            pipeline=own_loader(pipeline),
            **kwargs,
        )

    def _find_metainfo(
        self, metainfo: Mapping[str, Any] | None, metainfo_of: str | None, data_root: str | None
    ) -> dict[str, Any]:
        meta = normalise_metainfo(metainfo)
        if metainfo_of is not None:
            source = MMSEG_DATASETS.get(metainfo_of)
            if source is None:
                raise ValueError(f"metainfo_of='{metainfo_of}' is not a data set of mmseg.")
            meta = {**source.METAINFO, **meta}
            meta["classes"] = tuple(name.strip() for name in meta["classes"])
        if "classes" not in meta:
            listed = join(data_root, "classes.txt")
            if not osp.isfile(listed):
                raise ValueError(
                    f"no classes: give metainfo=dict(classes=(...)), or put one name a line into "
                    f"'{listed}'."
                )
            meta["classes"] = read_class_list(listed)
        palette = meta.get("palette") or make_palette(len(meta["classes"]))
        check_palette(palette, meta["classes"])
        meta["palette"] = palette
        return meta

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the images and their maps; ``img_id`` is the name below ``img_path``."""
        check_paths(**self._to_check)
        infos = super().load_data_list()
        prefix = self.data_prefix["img_path"] or "."
        if self.ann_file and osp.isfile(self.ann_file):
            listed = (osp.relpath(info["img_path"], prefix) for info in infos)
            source, fix = f"list '{self.ann_file}'", "Correct the list."
            check_names(listed, source, f"'{prefix}'", fix)
        for info in infos:
            name = osp.relpath(info["img_path"], prefix)
            info["img_id"] = name.removesuffix(self.img_suffix)
        classes = self.metainfo["classes"]
        if len(classes) == 2 and self.ignore_index == 255 and not self.reduce_zero_label:
            maps = (info["seg_map_path"] for info in infos if "seg_map_path" in info)
            check_binary_maps(maps, classes)
        return infos


@DATASETS.register_module()
class CocoPanopticSemanticDataset(CheckedDataset, BaseSegDataset):
    """Semantic view of COCO-form panoptic data, for mmseg; needs no index PNGs.

    Labels are numbered as in :class:`~attnseg.datasets.coco.CocoPanopticDataset`: things first.
    The pipeline loads the maps with ``attnseg.LoadPanopticAsSemantic``.

    Args: as :class:`~attnseg.datasets.coco.CocoPanopticDataset`, with ``data_prefix`` keys
    ``img_path`` and ``seg_map_path``.

    Raises:
        FileNotFoundError: Naming path, config key and fix, where a folder or file is missing.
        ValueError: Naming the file, if classes match nothing in it, or no image is left.
    """

    def __init__(
        self,
        *,
        ann_file: str = "",
        metainfo: Mapping[str, Any] | None = None,
        data_root: str | None = None,
        data_prefix: Mapping[str, str | None] | None = None,
        fraction: float = 1.0,
        fraction_seed: int = 0,
        lazy_init: bool = False,
        pipeline: Sequence[Any] = (),
        **kwargs: Any,
    ) -> None:
        self._set_fraction(fraction, fraction_seed)
        prefix = {key: folder for key, folder in (data_prefix or {}).items() if folder is not None}
        self._to_check = {
            "data_root": data_root,
            "ann_file": join(data_root, ann_file),
            "data_prefix": {key: join(data_root, folder) for key, folder in prefix.items()},
        }
        if not lazy_init:
            check_paths(**self._to_check)
        self._panoptic = CocoPanopticDataset(
            ann_file=ann_file,
            metainfo=metainfo,
            data_root=data_root,
            data_prefix={"img": prefix.get("img_path", ""), "seg": prefix.get("seg_map_path")},
            serialize_data=False,
            lazy_init=lazy_init,
        )
        super().__init__(
            ann_file=ann_file,
            metainfo=self._classes_and_palette(),
            data_root=data_root,
            data_prefix=prefix,
            lazy_init=lazy_init,
            pipeline=own_loader(pipeline),
            **kwargs,
        )

    def _classes_and_palette(self) -> dict[str, Any]:
        meta = self._panoptic.metainfo
        return {key: meta[key] for key in ("classes", "palette") if key in meta}

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read images and segments; objects are dropped, labels of segments are kept."""
        check_paths(**self._to_check)
        self._panoptic.full_init()
        # A lazy data set may learn its classes only now.
        self._metainfo.update(self._classes_and_palette())
        extra = {"label_map": None, "reduce_zero_label": False}
        keys = ("img_path", "img_id", "seg_map_path", "height", "width", "segments_info")
        infos = [
            {key: info[key] for key in keys} | extra | {"seg_fields": []}
            for info in self._panoptic.data_list
        ]
        self._panoptic.data_list = []
        return infos
