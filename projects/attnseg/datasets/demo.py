"""The generated demo set: textured objects on textured ground, in every form we train on."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle_tools

from ..compat import id2rgb
from .painting import disk, ground, object_texture, ring, star
from .panoptic_png import measure

THINGS = {"disk": disk, "star": star, "ring": ring}
STUFF = ("grass", "sand")
CLASSES = (*THINGS, *STUFF)
MANIFEST = "demo_set.json"


@dataclass(frozen=True)
class Scene:
    """One generated image.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        stuff: (H, W) uint8, label of the ground, 3 or 4.
        instances: (H, W) int32, 0 on the ground, else 1 + index of the object.
        labels: Label of each object, 0 to 2.
    """

    image: NDArray[np.uint8]
    stuff: NDArray[np.uint8]
    instances: NDArray[np.int32]
    labels: list[int]

    @property
    def semantic(self) -> NDArray[np.uint8]:
        """Labels (H, W): objects 0 to 2, ground 3 and 4."""
        table = np.array([0, *self.labels], np.uint8)
        return np.where(self.instances > 0, table[self.instances], self.stuff)


def paint_scene(size: tuple[int, int], rng: np.random.Generator) -> Scene:
    """Paint three to eight overlapping objects on ground.

    Objects are placed from front to back, and one of which less than 40 % (or a dozen pixels)
    would be seen is left out, so that no annotated object is hidden.
    """
    stuff, picture = ground(size, rng)
    instances = np.zeros(size, np.int32)
    labels: list[int] = []
    names = list(THINGS)
    for _ in range(int(rng.integers(3, 9))):
        label = int(rng.integers(len(names)))
        centre = rng.uniform(0.05, 0.95, 2) * size
        radius = rng.uniform(0.09, 0.2) * min(size)
        shape = THINGS[names[label]](size, centre, radius, rng)
        texture = object_texture(size, rng)
        seen = shape & (instances == 0)
        if seen.sum() < max(12, 0.4 * shape.sum()):
            continue
        labels.append(label)
        instances[seen] = len(labels)
        picture[seen] = texture[seen]
    picture += rng.normal(0, 4, (*size, 1))
    image = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return Scene(image, stuff + np.uint8(len(THINGS)), instances, labels)


@dataclass
class _Split:
    """Annotations of one split, gathered image by image."""

    images: list[dict[str, Any]] = field(default_factory=list)
    instances: list[dict[str, Any]] = field(default_factory=list)
    panoptic: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, scene: Scene) -> NDArray[np.int32]:
        """Add a scene; returns its segment ids (H, W)."""
        image_id = len(self.images) + 1
        height, width = scene.instances.shape
        self.images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        ids = np.zeros(scene.instances.shape, np.int32)
        segments = []
        for index, label in enumerate(scene.labels):
            mask = scene.instances == index + 1
            shared = {"category_id": label + 1, **measure(mask), "iscrowd": 0}
            segment_id = (label + 1) * 1000 + index
            segments.append({"id": segment_id, **shared})
            ids[mask] = segment_id
            rle = rle_tools.encode(np.asfortranarray(mask.astype(np.uint8)))
            self.instances.append(
                {
                    "id": len(self.instances) + 1,
                    "image_id": image_id,
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                    **shared,
                }
            )
        for label in range(len(THINGS), len(CLASSES)):
            mask = (scene.instances == 0) & (scene.stuff == label)
            if mask.any():
                segment_id = (label + 1) * 1000
                shared = {"category_id": label + 1, **measure(mask), "iscrowd": 0}
                segments.append({"id": segment_id, **shared})
                ids[mask] = segment_id
        self.panoptic.append({"image_id": image_id, "file_name": name, "segments_info": segments})
        return ids

    def write(self, folder: Path, split: str) -> None:
        """Write both json files of the split."""
        things = [{"id": i + 1, "name": name} for i, name in enumerate(THINGS)]
        every = [
            {"id": i + 1, "name": name, "isthing": int(name in THINGS)}
            for i, name in enumerate(CLASSES)
        ]
        for form, annotations, categories in (
            ("instances", self.instances, things),
            ("panoptic", self.panoptic, every),
        ):
            content = {"images": self.images, "annotations": annotations, "categories": categories}
            (folder / f"{form}_{split}.json").write_text(json.dumps(content))


@dataclass(frozen=True)
class _Parameters:
    num_train: int
    num_val: int
    size: tuple[int, int]
    seed: int
    version: int = 1

    def __post_init__(self) -> None:
        if min(self.num_train, self.num_val) < 1 or min(self.size) < 16:
            raise ValueError(
                "a demo set needs at least 1 image a split and 16 pixels a side, got "
                f"num_train={self.num_train}, num_val={self.num_val}, size={self.size}."
            )


def generate_demo_set(
    root: str | os.PathLike[str],
    num_train: int = 200,
    num_val: int = 40,
    size: tuple[int, int] = (128, 128),
    seed: int = 0,
) -> Path:
    """Generate images with semantic, instance and panoptic annotations.

    Three thing classes (disk, star, ring), told apart by shape alone, and two stuff classes
    (grass, sand). Equal arguments give equal files. A complete set with the same arguments is
    kept; another demo set in ``root`` is replaced. The folder appears complete or not at all.

    Args:
        root: Folder to make: ``images/``, ``semantic/`` and ``panoptic/``, each with ``train``
            and ``val``, ``annotations/`` and ``classes.txt``.
        num_train: Images to train on, at least 1.
        num_val: Images to validate on, at least 1.
        size: Height and width in pixels, each at least 16.
        seed: Seed of all randomness; train and val never share a scene.

    Returns:
        ``root`` as a path.

    Raises:
        FileExistsError: If ``root`` holds anything but a demo set.
        ValueError: If an argument is too small.
    """
    root = Path(root)
    parameters = _Parameters(num_train, num_val, (int(size[0]), int(size[1])), seed)
    wanted = json.loads(json.dumps(asdict(parameters)))
    if _manifest(root) == wanted:
        return root
    if root.exists() and _manifest(root) is None and any(root.iterdir()):
        raise FileExistsError(
            f"'{root}' holds other files than a demo set: give another folder, nothing is "
            "overwritten."
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    workspace = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
    try:
        fresh = workspace / "new"
        _write_set(fresh, parameters)
        if root.exists():
            root.rename(workspace / "old")
        try:
            fresh.rename(root)
        except OSError:
            # Another process made the same set in the meantime: its files are as good.
            if _manifest(root) != wanted:
                raise
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
    return root


def _manifest(root: Path) -> Mapping[str, Any] | None:
    try:
        return json.loads((root / MANIFEST).read_text())
    except (OSError, ValueError):
        return None


def _write_set(folder: Path, parameters: _Parameters) -> None:
    (folder / "annotations").mkdir(parents=True)
    splits = {"train": parameters.num_train, "val": parameters.num_val}
    for number, (split, count) in enumerate(splits.items()):
        for kind in ("images", "semantic", "panoptic"):
            (folder / kind / split).mkdir(parents=True)
        gathered = _Split()
        for index in range(count):
            scene = paint_scene(
                parameters.size, np.random.default_rng((parameters.seed, number, index))
            )
            name = f"{split}_{index:05d}.png"
            ids = gathered.add(name, scene)
            cv2.imwrite(str(folder / "images" / split / name), scene.image[..., ::-1])
            cv2.imwrite(str(folder / "semantic" / split / name), scene.semantic)
            cv2.imwrite(str(folder / "panoptic" / split / name), id2rgb(ids)[..., ::-1])
        gathered.write(folder / "annotations", split)
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    (folder / MANIFEST).write_text(json.dumps(asdict(parameters), indent=1))
