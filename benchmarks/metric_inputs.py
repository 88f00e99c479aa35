"""Generated images for the metrics' benchmark: cells, class maps and predictions with errors."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from attnseg.compat import id2rgb


def cells(rng: np.random.Generator, side: int, count: int) -> np.ndarray:
    """Ellipses on a jittered grid, about ``count`` of them: ids (side, side), 0 is background."""
    rows = max(1, int(np.sqrt(count)))
    step = side / rows
    labels = np.zeros((side, side), dtype=np.int32)
    for i in range(rows**2):
        centre = (np.array([i % rows, i // rows]) + rng.uniform(0.3, 0.7, 2)) * step
        axes = rng.uniform(0.25, 0.5, 2) * step
        cv2.ellipse(labels, (tuple(centre.tolist()), tuple((2 * axes).tolist()),
                             float(rng.uniform(0, 180))), i + 1, -1)  # fmt: skip
    return labels


def regions(rng: np.random.Generator, side: int, count: int) -> np.ndarray:
    """Voronoi cells that fill the image: numbers 0..count-1."""
    seeds = np.ones((side, side), dtype=np.uint8)
    seeds.flat[rng.choice(side**2, count, replace=False)] = 0
    kind = cv2.DIST_LABEL_PIXEL
    numbers = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=kind)[1]
    return numbers - 1


def warped(rng: np.random.Generator, labels: np.ndarray, pixels: float = 3.0) -> np.ndarray:
    """Labels under a smooth random displacement: outlines as a good model gets them."""
    size = labels.shape
    noise = [cv2.GaussianBlur(rng.standard_normal(size), (0, 0), 8) for _ in range(2)]
    grid = np.meshgrid(np.arange(size[1]), np.arange(size[0]))
    move = [(g + n / n.std() * pixels / 2).astype(np.float32) for g, n in zip(grid, noise)]  # noqa: B905
    moved = cv2.remap(labels.astype(np.float32), *move, cv2.INTER_NEAREST,
                      borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    return moved.astype(labels.dtype)


def worse(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Cells that are displaced, of which some are lost and some are two in one."""
    moved = warped(rng, labels)
    table = np.arange(labels.max() + 1)
    lost, merged = rng.random((2, len(table))) < [[0.05], [0.05]]
    table[lost] = 0
    merged[:2] = False
    table[merged] = table[np.flatnonzero(merged) - 1]
    return table[moved]


def blobs(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A mask of smooth shapes, and a prediction of it."""
    noise = cv2.GaussianBlur(rng.random((side, side)), (0, 0), side / 16)
    mask = (noise > np.quantile(noise, 0.6)).astype(np.uint8)
    return warped(rng, mask, 6.0) > 0, mask > 0


def coco_content(
    images: int, side: int, objects: int, classes: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """COCO instances and detections with scores, both with RLEs."""
    from pycocotools import mask as tools

    rng = np.random.default_rng(0)
    categories = [{"id": i + 1, "name": f"c{i}"} for i in range(classes)]
    content = {"images": [], "annotations": [], "categories": categories}
    detections = []
    for image in range(1, images + 1):
        truth = cells(rng, side, objects)
        pred = worse(rng, truth)
        category = rng.integers(1, classes + 1, truth.max() + 1)
        content["images"].append({"id": image, "height": side, "width": side})
        for kind, labels in (("truth", truth), ("pred", pred)):
            for number in np.unique(labels[labels > 0]).tolist():
                rle = tools.encode(np.asfortranarray(labels == number, dtype=np.uint8))
                record = {
                    "image_id": image,
                    "category_id": int(category[number]),
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                    "bbox": tools.toBbox(rle).tolist(),
                    "area": float(tools.area(rle)),
                }
                if kind == "truth":
                    identity = {"id": len(content["annotations"]) + 1, "iscrowd": 0}
                    content["annotations"].append(record | identity)
                else:
                    detections.append(record | {"score": float(rng.random())})
    return content, detections


def panoptic_files(folder: Path, images: int, side: int, classes: int) -> list[dict[str, Any]]:
    """Write panoptic truth into a folder; returns the samples with predictions."""
    import torch

    rng = np.random.default_rng(0)
    things = classes // 2
    categories = [{"id": i, "name": f"c{i}", "isthing": int(i < things)} for i in range(classes)]
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": categories}
    samples = []
    for image in range(1, images + 1):
        numbers = regions(rng, side, 40)
        label = rng.integers(0, classes, 40)
        # Stuff is one segment a class; void is where the truth has id 0.
        ids = np.where(label < things, np.arange(1, 41) * 1000, 0) + label
        ids[0] = 0
        truth = ids[numbers]
        pred = np.where(warped(rng, truth) == 0, 1000 * 41, warped(rng, truth))
        Image.fromarray(np.asarray(id2rgb(truth), dtype=np.uint8)).save(folder / f"{image}.png")
        size = {"height": side, "width": side, "file_name": f"{image}.jpg"}
        content["images"].append({"id": image} | size)
        content["annotations"].append({
            "image_id": image,
            "file_name": f"{image}.png",
            "segments_info": [
                {"id": i, "category_id": i % 1000, "area": int((truth == i).sum()),
                 "iscrowd": 0, "bbox": [0, 0, side, side]}
                for i in np.unique(truth).tolist() if i],
        })  # fmt: skip
        samples.append({
            "img_id": image,
            "img_path": f"{image}.jpg",
            "ori_shape": (side, side),
            "pred_panoptic_seg": {"sem_seg": torch.from_numpy(pred)[None]},
        })  # fmt: skip
    (folder / "panoptic.json").write_text(json.dumps(content), encoding="utf-8")
    return samples


def semantic_samples(images: int, side: int, classes: int) -> list[dict[str, Any]]:
    """Samples with predicted and true class maps, some pixels unlabelled."""
    import torch

    rng = np.random.default_rng(0)
    samples = []
    for image in range(images):
        label = rng.integers(0, classes, 60)[regions(rng, side, 60)]
        pred = warped(rng, label)
        label[rng.random(label.shape) < 0.02] = 255
        samples.append({
            "img_id": image,
            "pred_sem_seg": {"data": torch.from_numpy(pred)[None]},
            "gt_sem_seg": {"data": torch.from_numpy(label)[None]},
        })  # fmt: skip
    return samples
