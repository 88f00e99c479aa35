"""What the entries of COCO-form files must be: a wrong type is named, and never read as another."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

MOST_PIXELS = 1 << 30
"""Of an image: OpenCV reads no larger ones."""

_LONGEST_SIDE = 1 << 20  # as of run-length codes
_MOST_IDS = 1 << 24  # of a panoptic PNG


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, which true and false are not."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of float
        return False


def is_box(value: Any) -> bool:
    """Whether a value is a list of four numbers."""
    return isinstance(value, list) and len(value) == 4 and all(map(is_number, value))


def wrong_value(item: Mapping[str, Any], what: str) -> tuple[str, str] | None:
    """The first key of an entry whose value cannot be one of COCO's; absent keys are fine.

    Args:
        item: An image, a category, an annotation or a segment of one.
        what: Which of these it is.

    Returns:
        The key, and what it must be; None if all is well.
    """
    for key, (fits, needed) in _RULES[what].items():
        if key in item and not fits(item[key]):
            return key, needed
    if what == "image" and item["height"] * item["width"] > MOST_PIXELS:
        return "height", f"at most {MOST_PIXELS} pixels in all"
    return None


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) or (_is_integer(value) and abs(value) < 1 << 63)


def _is_side(value: Any) -> bool:
    return is_number(value) and value == int(value) and 0 < value < _LONGEST_SIDE


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_flag(value: Any) -> bool:
    return isinstance(value, (bool, int)) and value in (0, 1)


def _is_colour(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(_is_integer(part) and 0 <= part <= 255 for part in value)
    )


_ID = (_is_id, "a number or a text")
_CATEGORY = (lambda value: _is_integer(value) and abs(value) < 1 << 63, "a whole number")
_NUMBER = (is_number, "a finite number")
_FLAG = (_is_flag, "0 or 1")
_FILE = (lambda value: isinstance(value, str), "the name of a file")
_RULES = {
    "image": {
        "id": _ID,
        "height": (_is_side, "a number of pixels"),
        "width": (_is_side, "a number of pixels"),
        "file_name": _FILE,
    },
    "category": {
        "id": _CATEGORY,
        "name": (_is_text, "a text that is not empty"),
        "isthing": _FLAG,
        "color": (_is_colour, "red, green and blue, each 0 to 255"),
    },
    "annotation": {
        "id": _ID,
        "image_id": _ID,
        "category_id": _CATEGORY,
        "iscrowd": _FLAG,
        "file_name": _FILE,
    },
    "segment": {
        "id": (lambda value: _is_integer(value) and 0 <= value < _MOST_IDS, "0 to 256^3 - 1"),
        "category_id": _CATEGORY,
        "area": _NUMBER,
        "bbox": (is_box, "the numbers x, y, width and height"),
        "iscrowd": _FLAG,
    },
}
