"""COCO instances json -> COCO panoptic json and PNG, with one stuff class for the rest."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.utils import track_iter_progress
from numpy.typing import NDArray
from pycocotools import mask as rle_tools

from ...coco_files import read_coco_json
from ...compat import id2rgb
from ..coco_json import group_by_image
from ..panoptic_png import measure
from .files import write_json, write_png


def paint_instances(
    objects: Sequence[Mapping[str, Any]], size: tuple[int, int]
) -> tuple[NDArray[np.int32], list[int]]:
    """Paint objects into one map; where they overlap, the smaller is on top, crowds below.

    Args:
        objects: COCO annotations with ``segmentation`` (polygons or RLE).
        size: Height and width of the image in pixels.

    Returns:
        Ids (H, W), 0 where no object is, else 1 + position in ``objects``; and the positions of
        the objects of which a pixel is seen.
    """
    masks = [decode_segmentation(part["segmentation"], size) for part in objects]
    order = sorted(
        range(len(objects)),
        key=lambda i: (not objects[i].get("iscrowd", 0), -int(masks[i].sum()), i),
    )
    ids = np.zeros(size, np.int32)
    for position in order:
        ids[masks[position]] = position + 1
    return ids, [int(value) - 1 for value in np.unique(ids) if value > 0]


def panoptic_from_instances(
    ann_file: str | Path,
    out_json: str | Path,
    out_folder: str | Path,
    stuff_name: str = "background",
) -> None:
    """Make panoptic annotations for data that has instances only.

    Categories keep their ids and become things; all other pixels become one stuff class.

    Args:
        ann_file: COCO instances json.
        out_json: Panoptic json to write.
        out_folder: Folder for the PNGs.
        stuff_name: Name of the stuff class.

    Raises:
        ValueError: Naming the file, if it is no COCO instances json, a category has the name of
            the stuff class, or a mask has another size than its image.
    """
    data = read_coco_json(
        str(ann_file), "instances", ("image.file_name", "annotation.segmentation")
    )
    names = [category["name"] for category in data["categories"]]
    if stuff_name in names:
        raise ValueError(
            f"'{ann_file}' has a category '{stuff_name}' already: give another stuff_name."
        )
    stuff_id = max(category["id"] for category in data["categories"]) + 1
    groups = group_by_image(data, "instances")
    annotations = []
    for image in track_iter_progress(data["images"]):
        size = (image["height"], image["width"])
        objects = groups[image["id"]]
        for part in objects:
            listed = part["segmentation"]
            if isinstance(listed, Mapping) and tuple(listed["size"]) != size:
                raise ValueError(
                    f"'{ann_file}': image '{image['file_name']}' is {size[0]}x{size[1]} (height x "
                    f"width), the mask of annotation {part['id']} {tuple(listed['size'])}."
                )
        ids, seen = paint_instances(objects, size)
        ground = ids == 0
        ids[ground] = len(objects) + 1
        segments = [
            {
                "id": position + 1,
                "category_id": objects[position]["category_id"],
                **measure(ids == position + 1),
                "iscrowd": int(objects[position].get("iscrowd", 0)),
            }
            for position in seen
        ]
        if ground.any():
            segments.append(
                {
                    "id": len(objects) + 1,
                    "category_id": stuff_id,
                    **measure(ground),
                    "iscrowd": 0,
                }
            )
        name = str(Path(image["file_name"]).with_suffix(".png"))
        write_png(Path(out_folder) / name, id2rgb(ids)[..., ::-1])
        annotations.append({"image_id": image["id"], "file_name": name, "segments_info": segments})
    things = [{**category, "isthing": 1} for category in data["categories"]]
    stuff = {"id": stuff_id, "name": stuff_name, "isthing": 0}
    write_json(
        Path(out_json),
        {"images": data["images"], "annotations": annotations, "categories": [*things, stuff]},
    )


def decode_segmentation(segmentation: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode polygons or an RLE, compressed or not, to a mask (H, W) of ``size``."""
    if isinstance(segmentation, Sequence):
        segmentation = rle_tools.merge(rle_tools.frPyObjects(segmentation, *size))
    elif isinstance(segmentation["counts"], Sequence) and not isinstance(
        segmentation["counts"], str
    ):
        segmentation = rle_tools.frPyObjects(segmentation, *size)
    return rle_tools.decode(segmentation).astype(bool)
