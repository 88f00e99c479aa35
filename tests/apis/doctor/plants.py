"""Faults to plant into a copy of the demo set, each with the finding that has to name it."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import tifffile
from mmengine.config import Config
from PIL import Image

Act = Callable[[Path, Config], None]


class Plant(NamedTuple):
    """A fault.

    Attributes:
        task: Config that reads the set.
        code: Kind of the finding.
        text: Part of its first example.
        act: Plants it.
        also: Kinds that follow from it.
    """

    task: str
    code: str
    text: str
    act: Act
    also: tuple[str, ...] = ()


def _edit(file: str, change: Callable[[dict[str, Any]], None]) -> Act:
    def act(root: Path, cfg: Config) -> None:
        path = root / "annotations" / f"{file}.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return act


def _ann(**values: Any) -> Act:
    """Change the first object of the instance file."""
    return _edit("instances_train", lambda c: c["annotations"][0].update(values))


def _image(**values: Any) -> Act:
    return _edit("instances_train", lambda c: c["images"][0].update(values))


def _drop(items: list[Any], *conditions: Callable[[Any], bool]) -> None:
    items[:] = [item for item in items if not all(condition(item) for condition in conditions)]


def _segment(**values: Any) -> Act:
    return _edit("panoptic_train", lambda c: c["annotations"][0]["segments_info"][0].update(values))


def _file(name: str, change: Callable[[Path], None]) -> Act:
    return lambda root, cfg: change(root / name)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def _pixels(name: str, change: Callable[[Any], Any]) -> Act:
    def act(path: Path) -> None:
        cv2.imwrite(str(path), change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))

    return _file(name, act)


def _palette(path: Path) -> None:
    with Image.open(path) as image:
        indexed = image.convert("RGB").quantize(8) if image.mode == "RGB" else image.convert("P")
    indexed.save(path)


def _turned(root: Path, cfg: Config) -> None:
    path = root / IMAGE
    exif = Image.Exif()
    exif[274] = 6
    with Image.open(path) as image:
        image.save(path.with_suffix(".jpg"), exif=exif, quality=95)
    path.unlink()
    _image(file_name="train_00000.jpg")(root, cfg)


def _near(root: Path, cfg: Config) -> None:
    dark = (cv2.imread(str(root / IMAGE)) * 0.7).astype(np.uint8)
    data = cv2.imencode(".jpg", dark, [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes()
    (root / "images/val/val_00000.png").write_bytes(data)


def _tiff(shape: tuple[int, ...], axes: str) -> Act:
    def act(path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
        tifffile.imwrite(path, noise, metadata={"axes": axes}, photometric="minisblack")

    return _file(IMAGE, act)


def _duplicate(key: str) -> Act:
    return _edit("instances_train", lambda c: c[key].append(dict(c[key][0])))


def _repeat_category(content: dict[str, Any]) -> None:
    content["categories"].append({"id": 1, "name": "square"})


def _same_label_twice(content: dict[str, Any]) -> None:
    segments = content["annotations"][0]["segments_info"]
    segments[0]["category_id"] = segments[1]["category_id"] = 4


def _all_binary(root: Path, cfg: Config) -> None:
    for path in sorted((root / "semantic").glob("*/*.png")):
        values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.where(values > 2, 0, 255).astype(np.uint8))
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        cfg[loader].dataset.metainfo = {"classes": ("ground", "object")}
    cfg.model = {"decode_head": {"num_classes": 2}}


def _evaluator_of_train(root: Path, cfg: Config) -> None:
    cfg.val_evaluator.ann_file = str(root / "annotations/instances_train.json")


def _setting(key: str, value: Any) -> Act:
    return lambda root, cfg: cfg.merge_from_dict({key: value})


IMAGE, MAP = "images/train/train_00000.png", "semantic/train/train_00000.png"
PNG = "panoptic/train/train_00000.png"
FIRST = "annotation 1 of train_00000.png"
_DATA = "train_dataloader.dataset"


def _instance_plants() -> Iterator[tuple[Any, ...]]:
    yield "image-missing", "train_00000.png", _file(IMAGE, Path.unlink)
    yield "image-damaged", "train_00000.png", _file(IMAGE, _cut)
    yield "image-damaged", "an empty file", _file(IMAGE, lambda p: p.write_bytes(b""))
    yield "image-damaged", "train_00000.png", _file(IMAGE, lambda p: p.write_text("no image"))
    yield "image-size", "64 x 32, listed as 64 x 64", _pixels(IMAGE, lambda i: i[:32])
    yield "image-size", "64 x 64, listed as 64 x 60", _image(height=60), _SIZES
    yield "size-value", "'64' x 64", _image(height="64")
    yield "image-id-twice", "1 (train_00000.png)", _duplicate("images")
    yield "category-id-twice", "1 (square)", _edit("instances_train", _repeat_category)
    yield "annotation-id-twice", "1", _duplicate("annotations")
    yield "file-listed-twice", "ids [1, 2]", _image(file_name="train_00001.png"), ("file-unnamed",)
    yield "unknown-image", "annotation 1: image_id 99", _ann(image_id=99)
    yield "unknown-category", "annotation 1: category_id 9", _ann(category_id=9)
    without = _edit("instances_train", lambda c: _drop(c["annotations"], _is_star))
    yield "class-empty", "'star'", without
    yield "classes", "'cube'", _setting(f"{_DATA}.metainfo", {"classes": ("disk", "cube")})
    yield "class-count", "model.head.num_classes is 4", _setting("model.head.num_classes", 4)
    yield "polygon-odd", FIRST, _ann(segmentation=[[1, 1, 9, 1, 9]])
    yield "polygon-short", FIRST, _ann(segmentation=[[1, 1, 9, 9]])
    yield "polygon-points", FIRST, _ann(segmentation=[["1", 1, 9, 1, 9, 9]])
    yield "polygon-points", FIRST, _ann(segmentation=[[float("nan"), 1, 9, 1, 9, 9]])
    yield "mask-empty", FIRST, _ann(segmentation=[[90, 90, 99, 90, 99, 99]])
    yield "mask-empty", FIRST, _ann(segmentation={"size": [64, 64], "counts": [4096]})
    yield "mask-empty", FIRST, _ann(segmentation=[])
    yield "rle-damaged", "the mask has 4096", _ann(segmentation=_rle([10, 20]))
    yield "rle-damaged", "outside '0'..'o'", _ann(segmentation=_rle("~~ no code"))
    yield "rle-damaged", "a run of 4101 pixels", _ann(segmentation=_rle([-5, 4101]))
    yield "rle-size", "32 x 32, the image is 64 x 64", _ann(segmentation=_rle([500, 524], 32))
    yield "mask-form", FIRST, _ann(segmentation="polygon")
    yield "mask-missing", FIRST, _edit("instances_train", lambda c: _without_mask(c)), ()
    yield "box-form", FIRST, _ann(bbox=[1, 2, 3])
    yield "box-tiny", FIRST, _ann(bbox=[10, 10, 0, 8])
    yield "box-beside", FIRST, _ann(bbox=[70, 10, 8, 8])
    yield "box-outside", FIRST, _ann(bbox=[50, 10, 40, 8]), ("box-mask",)
    yield "box-mask", FIRST, _ann(bbox=[0, 0, 64, 64])
    yield "area-value", f"{FIRST}: 0", _ann(area=0)
    yield "area-mask", f"{FIRST}: 4000", _ann(area=4000)
    yield "crowd-value", "annotation 1: 'no'", _ann(iscrowd="no")
    alone = _edit("instances_train", lambda c: _drop(c["annotations"], _of_first))
    yield "image-empty", "train_00000.png", alone
    yield "file-unnamed", "left.png", _file(IMAGE, lambda p: _copy(p, "left.png"))
    yield "name-escapes", "../val/val_00000.png", _image(file_name="../val/val_00000.png"), _UNNAMED
    yield "name-escapes", "/etc/hosts", _image(file_name="/etc/hosts"), _UNNAMED
    yield "key-missing", "image 1 lacks width", _edit("instances_train", _without_width), _LOST
    file = "annotations/instances_train.json"
    yield "not-json", "instances_train.json", _file(file, _cut)
    yield "file-missing", "instances_train.json", _file(file, Path.unlink)
    yield "list-missing", "'images'", _edit("instances_train", lambda c: c.pop("images")), _LOST
    yield "list-missing", "'images'", _edit("instances_train", lambda c: c["images"].clear()), _LOST
    by_id = _edit("instances_train", lambda c: c.update(annotations={"1": c["annotations"][0]}))
    yield "list-missing", "'annotations'", by_id, ("class-empty",)
    other = _setting(f"{_DATA}.ann_file", "annotations/panoptic_train.json")
    yield "wrong-form", "panoptic_train.json", other, ("class-count", "class-empty")
    yield "folder-missing", "images/gone", _setting(f"{_DATA}.data_prefix.img", "images/gone")
    yield "depth-mixed", "16-bit colour", _pixels(IMAGE, _deep), ("depth-stretched",)
    yield "depth-lost", "16-bit colour", _plain_loader, ("depth-mixed",)
    yield "channels-mixed", "1 of 8-bit gray", _pixels(IMAGE, lambda i: i[..., 0])
    yield "channels-mixed", "colour with alpha", _pixels(IMAGE, _with_alpha)
    yield "channels-mixed", "with a palette", _file(IMAGE, _palette)
    yield "image-loader", "has 2 channels", _tiff((2, 64, 64), "CYX"), ("channels-mixed",)
    yield "image-loader", "z-planes", _tiff((4, 64, 64), "ZYX"), ("channels-mixed",)
    yield "image-turned", "train_00000.jpg", _turned
    copy = _file(IMAGE, lambda p: shutil.copy(p, p.parents[1] / "val/val_00000.png"))
    yield "split-copy", "equal to train_00000.png", copy
    yield "split-near", "val_00000.png and train_00000.png", _near
    yield "evaluator-images", "id 1: val_00000.png in val", _evaluator_of_train
    yield "unreadable-set", "no ann_file", _setting(f"{_DATA}.ann_file", ""), _UNNAMED
    yield "unchecked", "CityscapesDisparity", _setting(f"{_DATA}.type", "CityscapesDisparity"), ()


def _panoptic_plants() -> Iterator[tuple[Any, ...]]:
    edit = "panoptic_train"
    yield "map-missing", "train_00000.png", _file(PNG, Path.unlink)
    yield "map-damaged", "train_00000.png", _file(PNG, _cut)
    yield "map-damaged", "mode L", _pixels(PNG, lambda i: i[..., 0])
    yield "map-size", "64 x 32", _pixels(PNG, lambda i: i[:32]), _MEASURES
    paint = _pixels(PNG, _strange_segment)
    yield "segment-unlisted", "id 77 in", paint, _MEASURES
    yield "segment-absent", "id 123456", _segment(id=123456), ("segment-unlisted",)
    yield "segment-area", "of train_00000.png: 7", _segment(area=7)
    yield "segment-box", "of train_00000.png", _segment(bbox=[0, 0, 5, 5])
    yield "segment-id-value", "segment 0", _segment(id=0), ("segment-unlisted",)
    yield "segment-id-twice", "segment", _edit(edit, _repeat_segment)
    yield "unknown-category", ": 9", _segment(category_id=9)
    yield "stuff-twice", "grass", _edit(edit, _same_label_twice)
    yield "isthing", "disk: missing", _edit(edit, lambda c: c["categories"][0].pop("isthing"))
    stuff = _edit("panoptic_val", lambda c: c["categories"][2].update(isthing=0))
    yield "isthing-instances", "ring (objects in val", stuff, ("stuff-twice", "things-count")
    model = {"num_things": 2, "num_stuff": 3}
    yield "things-count", "2 things, the file has 3", _setting("model.head", model)
    first = _edit(edit, lambda c: c["annotations"].pop(0))
    yield "panoptic-entry-missing", "train_00000", first, _UNNAMED
    twice = _edit(edit, lambda c: c["annotations"].append(c["annotations"][0]))
    yield "panoptic-entry-twice", "train_00000.png", twice
    out = _edit(edit, lambda c: c["annotations"][0].update(file_name="../../x.png"))
    yield "name-escapes", "../../x.png", out, _UNNAMED


def _semantic_plants() -> Iterator[tuple[Any, ...]]:
    yield "map-missing", "train_00000.png", _file(MAP, Path.unlink)
    yield "map-damaged", "train_00000.png", _file(MAP, _cut)
    yield "map-size", "64 x 32, the image 64 x 64", _pixels(MAP, lambda i: i[:32])
    yield "map-channels", "3 channels", _pixels(MAP, lambda i: np.stack([i] * 3, -1))
    yield "map-depth", "labels up to 900", _pixels(MAP, lambda i: i.astype(np.uint16) * 0 + 900)
    yield "map-palette", "train_00000.png", _file(MAP, _palette)
    yield "map-labels", "7 of 5 classes", _pixels(MAP, lambda i: np.where(i == i[0, 0], 7, i))
    yield "map-void", "train_00000.png", _pixels(MAP, lambda i: i * 0 + 255)
    yield "map-binary", "holds 255", _all_binary, ("class-empty",)
    yield "file-unnamed", "old.png", _file(MAP, lambda p: _copy(p, "old.png"))
    yield "class-count", "is 19", _setting("model.decode_head.num_classes", 19)


def plants() -> list[Plant]:
    """All of them."""
    sources = {
        "instance": _instance_plants(),
        "panoptic": _panoptic_plants(),
        "semantic": _semantic_plants(),
    }
    return [Plant(task, *parts) for task, found in sources.items() for parts in found]


_UNNAMED, _SIZES = ("file-unnamed",), ("rle-size", "box-outside")
_LOST = ("unknown-image", "file-unnamed", "class-empty")
_MEASURES = ("segment-area", "segment-box", "segment-absent")


def _is_star(ann: dict[str, Any]) -> bool:
    return ann["category_id"] == 2


def _of_first(ann: dict[str, Any]) -> bool:
    return ann["image_id"] == 1


def _rle(counts: Any, side: int = 64) -> dict[str, Any]:
    return {"size": [side, side], "counts": counts}


def _without_mask(content: dict[str, Any]) -> None:
    del content["annotations"][0]["segmentation"]


def _without_width(content: dict[str, Any]) -> None:
    del content["images"][0]["width"]


def _copy(path: Path, name: str) -> None:
    shutil.copy(path, path.with_name(name))


def _deep(image: Any) -> Any:
    return image.astype(np.uint16) * 200


def _with_alpha(image: Any) -> Any:
    return np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])


def _plain_loader(root: Path, cfg: Config) -> None:
    _pixels(IMAGE, _deep)(root, cfg)
    cfg.train_dataloader.dataset.pipeline[0] = {
        "type": "LoadImageFromFile",
        "color_type": "color",
    }


def _strange_segment(png: Any) -> Any:
    png[:5, :5] = (0, 0, 77)
    return png


def _repeat_segment(content: dict[str, Any]) -> None:
    segments = content["annotations"][0]["segments_info"]
    segments.append(dict(segments[0]))
