"""Which labelled files a config reads, and through which classes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os import path as osp
from typing import Any

from attnseg.apis.options import EVALUATORS, LOADERS
from attnseg.datasets.checks import join, normalise_metainfo
from attnseg.datasets.mixin import own_loader
from attnseg.engine.config_hash import type_name
from attnseg.engine.evaluators import metric_configs

from .findings import Findings

INSTANCES, PANOPTIC, SEMANTIC = "instances", "panoptic", "semantic"
_INSTANCE_METRICS = {"CocoInstanceMetric", "CellMetric", "CocoMetric", "FasterCocoMetric"}


@dataclass
class LabelledSet:
    """Files that are checked together.

    Attributes:
        roles: Who reads them: ``train``, ``val``, ``test``.
        kind: Name of the data set's or metric's class.
        form: ``instances``, ``panoptic`` or ``semantic``.
        ann_file: The json, or a list of names; may be empty for semantic sets.
        images: Folder of the images; None where it is not known.
        outside: Whether images may lie elsewhere, as the config says.
        maps: Folder of label maps or panoptic PNGs.
        metainfo: ``classes`` and ``palette`` where the config or the class gives them.
        loader: First step of the pipeline; None where there is none.
        dataset: The semantic data set itself, opened lazily.
        plain: Read by mmdet's own classes, which need more keys.
        needs_masks: The pipeline reads masks.
        of_metric: An evaluator's file, not a data set's.
        evaluates: Roles whose evaluators read these files too.
    """

    roles: list[str]
    kind: str
    form: str
    ann_file: str = ""
    images: str | None = None
    outside: bool = False
    maps: str | None = None
    metainfo: Mapping[str, Any] = field(default_factory=dict)
    loader: Mapping[str, Any] | None = None
    dataset: Any = None
    plain: bool = False
    needs_masks: bool = True
    of_metric: bool = False
    evaluates: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Roles, and the metric if it is one that reads the files."""
        roles = ", ".join(self.roles)
        return f"{roles} {self.kind}" if self.of_metric else roles

    @property
    def files(self) -> tuple[Any, ...]:
        """What tells one set from another."""
        classes = self.metainfo.get("classes")
        return (self.form, *map(_real, (self.ann_file, self.images, self.maps)), classes)


def _real(path: str | None) -> str | None:
    return osp.realpath(path) if path and "://" not in path else path


def find_sets(cfg: Any, findings: Findings) -> list[LabelledSet]:
    """All labelled files of a config, each once; what cannot be checked becomes a finding."""
    found: dict[tuple[Any, ...], LabelledSet] = {}
    scope = cfg.get("default_scope")
    for key in LOADERS:
        role = key.partition("_")[0]
        parts = list(_datasets((cfg.get(key) or {}).get("dataset")))
        for number, part in enumerate(parts, 1):
            name = role if len(parts) == 1 else f"{role} {number}"
            own = _open(part, name, scope, findings)
            if own is not None:
                _merge(found, own)
    for key in EVALUATORS:
        for metric in metric_configs(cfg.get(key) or []):
            if isinstance(metric, Mapping) and metric.get("ann_file"):
                role = key.partition("_")[0]
                own = _of_metric(metric, role, findings)
                if own is not None:
                    known = _known(found, own) or _merge(found, own)
                    known.evaluates.append(role)
    return list(found.values())


def _merge(found: dict[tuple[Any, ...], LabelledSet], own: LabelledSet) -> LabelledSet:
    known = found.setdefault(own.files, own)
    known.roles += [role for role in own.roles if role not in known.roles]
    return known


def _known(found: Mapping[Any, LabelledSet], own: LabelledSet) -> LabelledSet | None:
    """The data set that reads the evaluator's files already."""
    form, file, _, maps, _ = own.files
    for key, known in found.items():
        if (form, file) == key[:2] and maps in (None, key[3]) and not known.of_metric:
            return known
    return None


def _datasets(value: Any) -> Iterator[Mapping[str, Any]]:
    """The data sets inside wrappers and lists."""
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _datasets(part)
    elif isinstance(value, Mapping):
        inner = value.get("datasets") or value.get("dataset")
        yield from _datasets(inner) if inner else (value,)


def _open(
    part: Mapping[str, Any], role: str, scope: str | None, findings: Findings
) -> LabelledSet | None:
    from mmengine.registry import DATASETS

    name = cls = part.get("type")
    if isinstance(name, str):
        with DATASETS.switch_scope_and_registry(scope) as registry:
            cls = registry.get(name)
    else:
        name = type_name(part) or "a data set without type"
    form = _form(cls)
    if form is None:
        reason = "a class that is not registered" if cls is None else "its files are not known here"
        findings.add("unchecked", role, f"{name}: {reason}")
        return None
    if part.get("backend_args"):
        findings.add("unchecked", role, f"{name}: files behind backend_args")
        return None
    own = cls.__module__.startswith("attnseg.")
    pipeline = own_loader(part.get("pipeline") or [])
    made = LabelledSet(
        roles=[role],
        kind=name.rpartition(".")[2],
        form=form,
        loader=dict(pipeline[0]) if pipeline else None,
        plain=not own,
        needs_masks=any("Mask" in type_name(s) or s.get("with_mask") for s in pipeline),
    )
    try:
        if form == SEMANTIC:
            _open_semantic(made, cls, part)
        else:
            _open_coco(made, cls, part)
    except Exception as error:  # The classes of mmdet and mmseg check with assert and more.
        text = " ".join(str(error).split()) or "it asserts something about its folders"
        findings.add("unreadable-set", role, f"{name}: {type(error).__name__}: {text}")
        return None
    if _own_reading(cls):
        findings.add("unchecked", role, f"images of {name}: the class finds them in its own way")
        made.images = None
    return made


def _form(cls: Any) -> str | None:
    from mmdet.datasets import CocoDataset, CocoPanopticDataset
    from mmseg.datasets import BaseSegDataset

    from attnseg.datasets import CocoPanopticSemanticDataset, ObjectMaskDataset

    if not isinstance(cls, type):
        return None
    if issubclass(cls, (CocoPanopticDataset, CocoPanopticSemanticDataset)):
        return PANOPTIC
    if issubclass(cls, (CocoDataset, ObjectMaskDataset)):
        return INSTANCES
    return SEMANTIC if issubclass(cls, BaseSegDataset) else None


def _own_reading(cls: type) -> bool:
    """Whether a class of mmdet's COCO family finds its images otherwise than COCO does."""
    from mmdet.datasets import CocoDataset, CocoPanopticDataset

    if cls.__module__.startswith("attnseg.") or not issubclass(cls, CocoDataset):
        return False
    known = (CocoDataset, CocoPanopticDataset)
    return not any(
        cls.load_data_list is base.load_data_list and cls.parse_data_info is base.parse_data_info
        for base in known
    )


def _open_coco(made: LabelledSet, cls: type, part: Mapping[str, Any]) -> None:
    root, prefix = part.get("data_root"), part.get("data_prefix") or {}
    made.ann_file = join(root, part.get("ann_file") or "")
    made.images = _folder(root, prefix.get("img", prefix.get("img_path")) or "")
    made.outside = bool(part.get("outside_files"))
    if made.form == PANOPTIC:
        maps = prefix.get("seg", prefix.get("seg_map_path"))
        made.maps = None if maps is None else _folder(root, maps)
    if not made.ann_file:
        raise ValueError("no ann_file")
    given = {**cls.METAINFO, **normalise_metainfo(part.get("metainfo"))}
    made.metainfo = normalise_metainfo({k: given[k] for k in ("classes",) if k in given})


def _folder(root: str | None, prefix: str) -> str:
    """Join as the data sets do: an empty prefix is the data folder itself."""
    return join(root, prefix) if prefix else root or ""


def _open_semantic(made: LabelledSet, cls: type, part: Mapping[str, Any]) -> None:
    arguments = {key: value for key, value in part.items() if key not in ("type", "_scope_")}
    made.dataset = cls(**{**arguments, "pipeline": [], "lazy_init": True})
    prefix = made.dataset.data_prefix
    made.ann_file = made.dataset.ann_file or ""
    made.images = prefix.get("img_path") or ""
    made.maps = prefix.get("seg_map_path")
    made.metainfo = {"classes": tuple(made.dataset.metainfo.get("classes") or ())}


def _of_metric(metric: Mapping[str, Any], role: str, findings: Findings) -> LabelledSet | None:
    name = type_name(metric).rpartition(".")[2]
    if metric.get("seg_prefix"):
        folder = str(metric["seg_prefix"])
        return LabelledSet(
            [role], name, PANOPTIC, str(metric["ann_file"]), maps=folder, of_metric=True
        )
    if name in _INSTANCE_METRICS:
        return LabelledSet(
            [role], name, INSTANCES, str(metric["ann_file"]), needs_masks=False, of_metric=True
        )
    findings.add("unchecked", role, f"ann_file of {name}: its form is not known here")
    return None
