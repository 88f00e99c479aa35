"""Annotations that several tests write."""

from typing import Any


def box_object(number: int, image_id: int, category_id: int, box: list[int]) -> dict[str, Any]:
    """COCO annotation of a filled box x, y, width, height."""
    x, y, w, h = box
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": box,
        "area": w * h,
        "iscrowd": 0,
        "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
    }
