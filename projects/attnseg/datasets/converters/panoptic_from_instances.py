"""COCO instances json -> COCO panoptic json and PNG, with one stuff class for the rest."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.utils import track_iter_progress
from numpy.typing import NDArray

from ...coco_files import read_coco_json
from ...compat import id2rgb
from ...file_names import check_names
from ..coco_json import group_by_image
from ..panoptic_png import measure
from ..transforms.object_mask import decode_segmentation
from .files import write_json, write_png


def paint_instances(
    objects: Sequence[Mapping[str, Any]], size: tuple[int, int], source: str = "the objects"
) -> tuple[NDArray[np.int32], list[int]]:
    """Paint objects into one map; where they overlap, the smaller is on top, crowds below.

    Args:
        objects: COCO annotations with ``segmentation`` (polygons or RLE).
        size: Height and width of the image in pixels.
        source: Where they come from, for messages.

    Returns:
        Ids (H, W), 0 where no object is, else 1 + position in ``objects``; and the positions of
        the objects of which a pixel is seen.

    Raises:
        ValueError: Naming source and annotation, if a mask is damaged or of another size.
    """
    masks = [object_mask(part, size, source) for part in objects]
    order = sorted(
        range(len(objects)),
        key=lambda i: (not objects[i].get("iscrowd", 0), -int(masks[i].sum()), i),
    )
    ids = np.zeros(size, np.int32)
    for position in order:
        ids[masks[position]] = position + 1
    return ids, [int(value) - 1 for value in np.unique(ids) if value > 0]


def object_mask(part: Mapping[str, Any], size: tuple[int, int], source: str) -> NDArray[np.bool_]:
    """Decode the mask (H, W) of a COCO annotation; errors as of `paint_instances`."""
    owner = f"{source}: annotation {part.get('id')}"
    return decode_segmentation(part["segmentation"], size, owner).astype(bool)


def panoptic_from_instances(
    ann_file: str | Path,
    out_json: str | Path,
    out_folder: str | Path,
    stuff_name: str = "background",
) -> None:
    """Make panoptic annotations for data that has instances only.

    Categories keep their ids and become things; all other pixels become one stuff class. The json
    is written last: without it, the PNGs are those of a conversion that was not completed.

    Args:
        ann_file: COCO instances json.
        out_json: Panoptic json to write.
        out_folder: Folder for the PNGs.
        stuff_name: Name of the stuff class.

    Raises:
        ValueError: Naming the file, if it is no COCO instances json, a category has the name of
            the stuff class, a mask is damaged or has another size than its image, or a name
            leads out of the folder or stands for two images.
    """
    data = read_coco_json(
        str(ann_file), "instances", ("image.file_name", "annotation.segmentation")
    )
    listed = [image["file_name"] for image in data["images"]]
    # The PNGs are written by these names.
    check_names(listed, f"'{ann_file}'", f"'{out_folder}'", "Rename the image in the file.")
    stems = Counter(str(Path(name).with_suffix("")) for name in listed)
    if twice := [stem for stem, number in stems.items() if number > 1]:
        raise ValueError(
            f"'{ann_file}': several images are '{twice[0]}' but for their suffix, and would have "
            "one PNG: rename all but one."
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
            mask = part["segmentation"]
            sides = mask["size"] if isinstance(mask, Mapping) else None
            if isinstance(sides, list) and tuple(sides) != size:
                raise ValueError(
                    f"'{ann_file}': image '{image['file_name']}' is {size[0]}x{size[1]} (height x "
                    f"width), the mask of annotation {part.get('id')} {tuple(sides)}."
                )
        source = f"'{ann_file}', image '{image['file_name']}'"
        ids, seen = paint_instances(objects, size, source)
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
