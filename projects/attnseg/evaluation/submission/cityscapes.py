"""What the two Cityscapes formats share: names of files and ids of labels.

Source: ``evaluation/evalPixelLevelSemanticLabeling.py``, ``evaluation/
evalInstanceLevelSemanticLabeling.py`` and ``helpers/labels.py`` of cityscapesScripts: a file of an
image is one whose name begins with ``<city>_<sequence>_<frame>``, in any folder.
"""

import re
from pathlib import PurePosixPath
from typing import Any

from attnseg.evaluation.submission.target import TargetImage

_FRAME = re.compile(r"([A-Za-z-]+_\d{6}_\d{6})(?=[_.])")

# The 19 classes that are evaluated, in the order of their trainIds.
CATEGORIES: tuple[dict[str, Any], ...] = tuple(
    {"id": label_id, "name": name, "isthing": int(label_id >= 24)}
    for name, label_id in (
        ("road", 7),
        ("sidewalk", 8),
        ("building", 11),
        ("wall", 12),
        ("fence", 13),
        ("pole", 17),
        ("traffic light", 19),
        ("traffic sign", 20),
        ("vegetation", 21),
        ("terrain", 22),
        ("sky", 23),
        ("person", 24),
        ("rider", 25),
        ("car", 26),
        ("truck", 27),
        ("bus", 28),
        ("train", 31),
        ("motorcycle", 32),
        ("bicycle", 33),
    )
)


def frame_of(name: str) -> str | None:
    """The part ``<city>_<sequence>_<frame>`` of a file name, None where there is none."""
    found = _FRAME.match(PurePosixPath(name).name)
    return found[1] if found else None


def frame_of_image(image: TargetImage) -> str:
    """The same of an image.

    Raises:
        ValueError: If its name is not as Cityscapes names images.
    """
    frame = frame_of(image.name)
    if frame is None:
        raise ValueError(
            f"image '{image.name}' is not named <city>_<6 digits>_<6 digits>_leftImg8bit.png, "
            "which the Cityscapes server goes by."
        )
    return frame
