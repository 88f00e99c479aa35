"""COCO-form files: everything that reads one, and what pycocotools says of the same file."""

import json
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
from mmengine.registry import init_default_scope
from PIL import Image
from pycocotools import mask as rle_tools

from attnseg.apis.command import input_errors, training_errors
from attnseg.apis.experiment import build_config
from attnseg.apis.submission import target_of
from attnseg.compat import rgb2id
from attnseg.datasets.converters.crops import crop_dense
from attnseg.datasets.converters.evican import convert_evican
from attnseg.datasets.converters.livecell import convert_livecell
from attnseg.datasets.converters.panoptic_from_instances import panoptic_from_instances
from attnseg.datasets.converters.revvity import convert_revvity
from attnseg.evaluation.instance_truth import InstanceTruth
from attnseg.evaluation.panoptic_truth import PanopticTruth
from attnseg.registry import DATASETS
from tests.campaign.mutate import change_json
from tests.campaign.watch import Case

CONFIGS = Path(__file__).resolve().parents[2] / "configs/_base_/datasets"
SETS = {
    "instances": ("demo_instance.py", "instances"),
    "panoptic": ("demo_panoptic.py", "panoptic"),
    "refinement": ("demo_refinement.py", "instances"),
}


def dataset_config(kind: str, demo: Path, ann_file: Path) -> dict[str, Any]:
    """The data set of a test on the demo images, with another annotation file."""
    if kind == "semantic":
        return {
            "type": "attnseg.CocoPanopticSemanticDataset",
            "ann_file": str(ann_file),
            "data_prefix": {
                "img_path": str(demo / "images/val"),
                "seg_map_path": str(demo / "panoptic/val"),
            },
            "pipeline": [
                {"type": "attnseg.LoadImage"},
                {"type": "attnseg.LoadPanopticAsSemantic"},
                {"type": "mmseg.PackSegInputs"},
            ],
        }
    config = build_config(CONFIGS / SETS[kind][0]).test_dataloader.dataset.to_dict()
    prefix = {"img": str(demo / "images/val"), "seg": str(demo / "panoptic/val")}
    prefix = {key: prefix[key] for key in config["data_prefix"]}
    return config | {"data_root": "", "ann_file": str(ann_file), "data_prefix": prefix}


def load_all(config: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Open a data set as a test does, and read every sample."""
    init_default_scope("mmseg" if "Semantic" in config["type"] else "mmdet")
    with input_errors():
        dataset = DATASETS.build(config)
    samples = []
    for index in range(len(dataset)):
        with training_errors():
            samples.append(dataset[index])
    return dataset, samples


def cases(random: Random, folder: Path, demo: Path) -> Iterator[Case]:
    """Mutated files, each for one reader."""
    texts = {form: (demo / f"annotations/{form}_val.json").read_text() for form in _FORMS}
    originals = {form: json.loads(text) for form, text in texts.items()}
    # COCO's other forms: polygons, and codes that are lists, of crowds.
    other = json.loads(texts["instances"])
    for number, ann in enumerate(other["annotations"]):
        ann["segmentation"] = _other_form(ann["segmentation"], number % 3 == 0)
    readers = _readers(demo)
    # A set of one class, as of cells.
    cells = json.loads(texts["instances"])
    cells["categories"] = [{"id": 1, "name": "cell"}]
    cells["annotations"] = [ann | {"category_id": 1} for ann in cells["annotations"]]
    originals["cells"] = cells
    for number in count():
        whole = number < len(readers)
        name = list(readers)[number] if whole else random.choice(list(readers))
        form, read, check = readers[name]
        original = originals[form]
        if form == "instances" and random.random() < 0.5:
            original = other
        what, data = change_json(original, random)
        if whole:
            what, data = "whole", json.dumps(originals[form]).encode()
        place = folder / str(number)
        (place / "in").mkdir(parents=True)
        file = place / "in/mutated.json"
        file.write_bytes(data)
        yield Case(
            f"annotations/{number} {name}: {what}",
            lambda read=read, file=file, out=place / "out": read(file, out),
            ("mutated.json", "instances_", "livecell_coco", "annotations", "val_0"),
            check and (lambda found, check=check, data=data: check(data, found)),
            place / "out",
            whole,
        )
        shutil.rmtree(place)


_FORMS = ("instances", "panoptic")
Reader = Callable[[Path, Path], Any]
Check = Callable[[bytes, Any], str | None]


def _readers(demo: Path) -> dict[str, tuple[str, Reader, Check | None]]:
    def data_set(kind: str) -> Reader:
        return lambda file, _: load_all(dataset_config(kind, demo, file))

    def instance_truth(file: Path, _: Path) -> Any:
        with input_errors(KeyError):
            truth = InstanceTruth(str(file), "segm")
            labels = truth.labels(("disk", "star", "ring"), None)
            return {i: truth.objects({"img_id": i}, labels) for i in truth._images}

    def panoptic_truth(file: Path, _: Path) -> Any:
        with input_errors(KeyError):
            truth = PanopticTruth(str(file), str(demo / "panoptic/val"))
            names = ("disk", "star", "ring", "grass", "sand")
            truth.set_classes(names, {"thing_classes": names[:3]})
            return {i: truth.segments(i, (64, 64)) for i in truth._annotations}

    def to_panoptic(file: Path, out: Path) -> Any:
        with input_errors():
            panoptic_from_instances(file, out / "panoptic.json", out / "png")
        return out

    def published(convert: Callable[..., Any], name: str) -> Reader:
        def read(file: Path, out: Path) -> Any:
            shutil.move(file, file.with_name(name))
            if not (file.parent / "images").exists():
                shutil.copytree(demo / "images/val", file.parent / "images")
            with input_errors():
                return convert(file.parent, out=out)

        return read

    def crops(file: Path, out: Path) -> Any:
        (file.parent / "annotations").mkdir()
        shutil.move(file, file.parent / "annotations/instances_val.json")
        with input_errors():
            return crop_dense(file.parent, out, demo / "images/val", max_objects=3, min_side=16)

    def target(kind: str) -> Reader:
        def read(file: Path, _: Path) -> Any:
            with input_errors(KeyError, OSError):
                return target_of(kind, str(file))

        return read

    return {
        "CocoInstanceDataset": ("instances", data_set("instances"), same_instances),
        "CocoPanopticDataset": ("panoptic", data_set("panoptic"), None),
        "CocoPanopticSemanticDataset": (
            "panoptic",
            data_set("semantic"),
            lambda data, found: same_classes(data, found, demo / "panoptic/val"),
        ),
        "ObjectMaskDataset": ("instances", data_set("refinement"), None),
        "InstanceTruth": ("instances", instance_truth, same_truth),
        "PanopticTruth": ("panoptic", panoptic_truth, None),
        "panoptic_from_instances": ("instances", to_panoptic, same_panoptic),
        "convert_revvity": ("cells", published(convert_revvity, "a.json"), None),
        "convert_livecell": ("cells", published(convert_livecell, "livecell_coco_val.json"), None),
        "convert_evican": (
            "cells",
            published(convert_evican, "instances_val2019_EVICAN2.json"),
            None,
        ),
        "crop_dense": ("instances", crops, None),
        "submit coco-instance": ("instances", target("coco-instance"), None),
        "submit coco-panoptic": ("panoptic", target("coco-panoptic"), None),
    }


def _other_form(rle: dict[str, Any], listed: bool) -> Any:
    mask = rle_tools.decode(rle)
    if not listed:
        lines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        return [line.ravel().tolist() for line in lines if len(line) >= 3]
    pixels = np.concatenate([[0], mask.ravel("F"), [2]])
    ends = np.flatnonzero(np.diff(pixels))
    return {"size": rle["size"], "counts": np.diff(ends, prepend=0).tolist()}


def _encoded(segmentation: Any, size: tuple[int, int]) -> Any:
    if isinstance(segmentation, list):
        polygons = [p for p in segmentation if len(p) >= 6]
        if not polygons:
            return rle_tools.encode(np.zeros(size, np.uint8, order="F"))
        return rle_tools.merge(rle_tools.frPyObjects(polygons, *size))
    if isinstance(segmentation["counts"], list):
        return rle_tools.frPyObjects(segmentation, *size)
    return segmentation


def _objects(data: bytes) -> tuple[dict[Any, Any], dict[Any, list[Any]], dict[Any, str]]:
    """Images by id, objects by image and names of categories, read without our code."""
    content = json.loads(data)
    images = {image["id"]: image for image in content["images"]}
    by_image: dict[Any, list[Any]] = {i: [] for i in images}
    annotations = content.get("annotations") or []
    for ann in annotations.values() if isinstance(annotations, dict) else annotations:
        by_image[ann["image_id"]].append(ann)
    return images, by_image, {c["id"]: c["name"] for c in content["categories"]}


def same_instances(data: bytes, found: Any) -> str | None:
    """Compare names, classes and masks of what a data set loaded with the plain file."""
    dataset, samples = found
    images, by_image, names = _objects(data)
    if len(samples) != len(json.loads(data)["images"]):
        return f"{len(samples)} images instead of {len(images)}"
    classes = dataset.metainfo["classes"]
    for sample in samples:
        sample = sample["data_samples"]
        image = images[sample.img_id]
        if Path(sample.img_path).name != Path(image["file_name"]).name:
            return f"{sample.img_path} instead of {image['file_name']}"
        size = image["height"], image["width"]
        expected = []
        for ann in by_image[image["id"]]:
            if ann.get("ignore"):
                continue
            mask = rle_tools.decode(_encoded(ann["segmentation"], size)).astype(bool)
            x, y, w, h = ann.get("bbox") or rle_tools.toBbox(_encoded(ann["segmentation"], size))
            area = ann.get("area", mask.sum())
            inside = min(x + w, size[1]) > max(x, 0) and min(y + h, size[0]) > max(y, 0)
            if area > 0 and w >= 1 and h >= 1 and inside:
                expected.append((names[ann["category_id"]], mask))
        masks, labels = [], []
        for group in (sample.gt_instances, sample.get("ignored_instances", None)):
            if group is not None:
                masks += list(group.masks.masks)
                labels += [classes[label] for label in group.labels.tolist()]
        if sorted(labels) != sorted(name for name, _ in expected):
            return f"{image['file_name']}: classes {labels} instead of {[n for n, _ in expected]}"
        have = sorted(mask.astype(bool).tobytes() for mask in masks)
        if have != sorted(np.ascontiguousarray(mask).tobytes() for _, mask in expected):
            return f"{image['file_name']}: other masks"
    return None


def same_truth(data: bytes, found: Any) -> str | None:
    """Compare the objects that a metric evaluates with the plain file."""
    images, by_image, names = _objects(data)
    wanted = ("disk", "star", "ring")
    if found.keys() != images.keys():
        return f"images {list(found)} instead of {list(images)}"
    for img_id, (records, size) in found.items():
        if size != (images[img_id]["height"], images[img_id]["width"]):
            return f"size {size}"
        expected = [
            (names[a["category_id"]], rle_tools.decode(_encoded(a["segmentation"], size)).tobytes())
            for a in by_image[img_id]
            if names[a["category_id"]] in wanted
        ]
        have = [
            (wanted[r["category_id"]], rle_tools.decode(r["segmentation"]).tobytes())
            for r in records
        ]
        if have != expected:
            return f"objects of image {img_id!r} differ"
    return None


def same_classes(data: bytes, found: Any, folder: Path) -> str | None:
    """Compare the class of every pixel with the PNG and the plain file."""
    dataset, samples = found
    content = json.loads(data)
    names = {c["id"]: c["name"] for c in content["categories"]}
    images = {image["id"]: image for image in content["images"]}
    annotations = {a["image_id"]: a for a in content.get("annotations", [])}
    classes = [*dataset.metainfo["classes"]]
    for index, sample in enumerate(samples):
        image = images[dataset.get_data_info(index)["img_id"]]
        annotation = annotations.get(image["id"], {"segments_info": []})
        name = annotation.get("file_name", Path(image["file_name"]).stem + ".png")
        ids = rgb2id(np.asarray(Image.open(folder / name)))
        expected = np.full(ids.shape, 255, np.uint8)
        for part in annotation["segments_info"]:
            if part["area"] > 0 and part["bbox"][2] >= 1 and part["bbox"][3] >= 1:
                expected[ids == part["id"]] = classes.index(names[part["category_id"]])
        if not np.array_equal(sample["data_samples"].gt_sem_seg.data[0].numpy(), expected):
            return f"classes of {name} differ"
    return None


def same_panoptic(data: bytes, out: Path) -> str | None:
    """Compare which pixels are objects in the written PNGs with the masks of the plain file."""
    images, by_image, _ = _objects(data)
    written = json.loads((out / "panoptic.json").read_text())
    if len(written["annotations"]) != len(images):
        return f"{len(written['annotations'])} images instead of {len(images)}"
    for annotation in written["annotations"]:
        image = images[annotation["image_id"]]
        png = cv2.imread(str(out / "png" / annotation["file_name"]))
        size = (image["height"], image["width"])
        ids, objects = rgb2id(png[..., ::-1]), np.zeros(size, bool)
        for ann in by_image[image["id"]]:
            objects |= rle_tools.decode(_encoded(ann["segmentation"], size)).astype(bool)
        things = [s["id"] for s in annotation["segments_info"] if s["category_id"] in
                  {a["category_id"] for a in by_image[image["id"]]}]  # fmt: skip
        if not np.array_equal(np.isin(ids, things), objects):
            return f"objects of {annotation['file_name']} differ"
    return None
