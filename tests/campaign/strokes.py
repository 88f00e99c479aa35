"""What a user may hand to the refiner: arrays and files of any kind."""

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np

from attnseg.apis.command import input_errors
from attnseg.apis.refine_images import refine_folder
from attnseg.apis.refiner import MaskRefiner
from tests.apis.refine_factory import write_model
from tests.campaign.mutate import ODD, change_bytes
from tests.campaign.watch import Case

SIZE = (48, 64)


def cases(random: Random, folder: Path, demo: Path) -> Iterator[Case]:
    """Strokes, corrections and images, each for a refiner whose answer is known."""
    refiner = MaskRefiner(*write_model(folder / "model", crop=True))
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    stroke = np.zeros(SIZE, np.uint8)
    stroke[10:30, 12:40] = 255
    for number in count():
        place = folder / str(number)
        (place / "images").mkdir(parents=True)
        (place / "strokes").mkdir()
        files = {
            "images": cv2.imencode(".png", image)[1],
            "strokes": cv2.imencode(".png", stroke)[1],
        }
        what, in_files = "whole", number == 0 or random.random() < 0.5
        given: dict[str, Any] = {"image": image, "stroke": stroke}
        if in_files and number:
            which = random.choice(list(files))
            what, files[which] = change_bytes(files[which].tobytes(), random)
            what = f"{which} {what}"
        elif number > 1:
            name = random.choice(("image", "stroke", "stroke", "add", "remove"))
            what, given[name] = _odd(image if name == "image" else stroke, random)
            what = f"{name} {what}"
        for name, data in files.items():
            (place / name / "mutated.png").write_bytes(bytes(data))

        def run(place: Path = place, in_files: bool = in_files, given: Any = given) -> Any:
            if not in_files:
                with input_errors():
                    return refiner(**given)
            report = refine_folder(
                refiner, place / "images", place / "strokes", place / "out", progress=False
            )
            if report.failed:
                print(report.failed)
                raise SystemExit(1)
            return cv2.imread(str(place / "out/mutated.png"), 0) > 0

        yield Case(
            f"strokes/{number} {what}",
            run,
            ("mutated", "stroke", "image", "add", "remove"),
            lambda found, what=what: (
                None if what != "whole" or found.any() else "nothing was found"
            ),
            place / "out",
            what == "whole",
        )
        shutil.rmtree(place)


def _odd(plain: Any, random: Random) -> tuple[str, Any]:
    """An array of another shape, type or content, or something else in its place."""
    height, width = SIZE
    rgba = np.dstack([plain if plain.ndim == 2 else plain[..., 0]] * 4)
    kinds: dict[str, Any] = {
        "bool": plain > 0,
        "float": plain / 255,
        "NaN": np.full(plain.shape, np.nan),
        "one NaN": np.where(np.arange(plain.size).reshape(plain.shape) == 5, np.nan, plain),
        "infinite": np.full(plain.shape, np.inf),
        "negative": -plain.astype(np.int32),
        "16-bit": plain.astype(np.uint16) * 257,
        "64-bit": plain.astype(np.int64) << 40,
        "complex": plain.astype(complex),
        "objects": plain.astype(object),
        "text": plain.astype(str),
        "zeros": np.zeros_like(plain),
        "transposed": plain.swapaxes(0, 1),
        "RGBA": rgba,
        "5 channels": np.dstack([rgba, rgba[..., :1]]),
        "gray and alpha": rgba[..., :2],
        "one channel": rgba[..., :1],
        "no channel": rgba[..., :0],
        "4 axes": rgba[None],
        "1 axis": plain.ravel(),
        "empty": plain[:0],
        "scalar": np.uint8(3),
        "flipped view": plain[::-1, ::-2][:, : width // 2],
        "cut": plain[: height // 2],
        "list": plain.tolist(),
        "folder": Path("/"),
        "nothing": None,
    }
    kinds |= {f"odd {odd!r:.30}": odd for odd in ODD}
    name = random.choice(list(kinds))
    return name, kinds[name]
