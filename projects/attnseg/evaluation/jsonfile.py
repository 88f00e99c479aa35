"""Reading annotation files, with errors that name the file."""

import json
from pathlib import Path
from typing import Any


def read_coco_json(path: str | Path, what: str) -> dict[str, Any]:
    """Read a COCO-style json.

    Args:
        path: The file.
        what: What the file should be, for the error messages.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not json, or lacks images, annotations or categories.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"'{path}' is not a file; expected {what} ('ann_file').")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"'{path}' is not valid json ({error}); expected {what}.") from error
    keys = ("images", "annotations", "categories")
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise ValueError(f"'{path}' has no {', '.join(map(repr, missing))}; expected {what}.")
    return content
