"""What a submission is checked against: the images and categories of the test set."""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import tifffile
from PIL import Image

from attnseg.coco_files import read_coco_json
from attnseg.evaluation.classes import match_categories
from attnseg.evaluation.submission.findings import Findings
from attnseg.evaluation.submission.saved import SavedImage, SavedPredictions

_SHOWN = 10
IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"))


class TargetImage(NamedTuple):
    """An image that the server expects a prediction of; the size is (H, W), None if unknown."""

    id: int | str | None
    name: str
    size: tuple[int, int] | None


@dataclass(frozen=True)
class Target:
    """Images and categories of a test set.

    Attributes:
        source: Where they come from; named in messages.
        images: None where nobody said which images there are: then only the file itself is
            checked.
        categories: Each with ``id`` and ``name``, and ``isthing`` where it is known.
    """

    source: str
    images: tuple[TargetImage, ...] | None
    categories: tuple[dict[str, Any], ...] = ()

    @property
    def category_ids(self) -> frozenset[int]:
        """Ids that may occur."""
        return frozenset(category["id"] for category in self.categories)


def coco_target(ann_file: str, form: str) -> Target:
    """Read a COCO file: the image-info json of a test split, or annotations.

    Args:
        ann_file: The json.
        form: ``instances`` or ``panoptic``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or of another form.
    """
    content = read_coco_json(ann_file, form, ("image.file_name",))
    images = tuple(
        TargetImage(i["id"], i["file_name"], (int(i["height"]), int(i["width"])))
        for i in content["images"]
    )
    return Target(f"'{ann_file}'", images, tuple(content["categories"]))


def folder_images(folder: str, ending: str = "") -> tuple[TargetImage, ...]:
    """Find the images of a test set below a folder; only their headers are read.

    Args:
        folder: Searched with its subfolders.
        ending: Only files whose names end with it, such as ``_leftImg8bit.png``.

    Raises:
        FileNotFoundError: If the folder does not exist or has no image.
        ValueError: If an image cannot be read; names it.
    """
    found = sorted(
        path
        for path in Path(folder).rglob(f"*{ending}")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    )
    if not found:
        raise FileNotFoundError(
            f"'{folder}' has no image *{ending or '.png, .jpg, .tif or .bmp'}: give the folder of "
            "the test images."
        )
    return tuple(TargetImage(None, str(p.relative_to(folder)), _image_size(p)) for p in found)


def saved_images(saved: SavedPredictions) -> tuple[TargetImage, ...]:
    """The images that were predicted, for formats that are packed without a list of images."""
    return tuple(TargetImage(i.id, PurePath(i.path).name or i.name, i.size) for i in saved.images)


def by_key(
    images: Sequence[TargetImage], key: Callable[[TargetImage], Any], source: str
) -> dict[Any, TargetImage]:
    """Order images by what the server tells them apart by.

    Raises:
        ValueError: If an image does not have it, or two share it.
    """
    found: dict[Any, TargetImage] = {}
    for image in images:
        name = key(image)
        if name in found:
            raise ValueError(
                f"{source}: the images '{found[name].name}' and '{image.name}' would both be "
                f"'{name}' in the submission; servers tell images apart by this."
            )
        found[name] = image
    return found


def category_ids(
    saved: SavedPredictions, labels: Sequence[int], target: Target, things_only: bool = False
) -> list[int]:
    """Find the server's id of classes, by their names.

    Args:
        saved: Predictions.
        labels: The classes that are needed.
        target: Its categories are searched.
        things_only: Search only the things among them.

    Returns:
        One id a label.

    Raises:
        ValueError: If a class is no category; lists a few of both.
    """
    categories = [c for c in target.categories if not things_only or c["isthing"]]
    # mmseg's ADE20K has a name with a space behind it.
    names = [saved.classes[label].strip() for label in labels]
    categories = [{**category, "name": category["name"].strip()} for category in categories]
    known = {category["name"] for category in categories}
    strangers = [name for name in names if name not in known]
    if strangers:
        unused = sorted(known - set(names))
        raise ValueError(
            f"{len(strangers)} class(es) of '{saved.folder}' are no categories of "
            f"{target.source}: {_some(strangers)}. Its categories that are left: {_some(unused)}. "
            "Names must be equal; were the predictions made with the classes of this data set?"
        )
    flags = [saved.things[label] for label in labels]
    return match_categories(names, flags, categories, target.source)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN])) or "none"
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def stem(image: TargetImage) -> str:
    """File name of an image without folders and suffix."""
    return PurePath(image.name).stem


def pair_images(
    saved: SavedPredictions, target: Target, key: Callable[[TargetImage], Any]
) -> list[tuple[Any, TargetImage, SavedImage]]:
    """Pair predictions with the images that the server expects, each once.

    Returns:
        Key, image and prediction, in the order of the keys.

    Raises:
        ValueError: If an image has no prediction, a prediction no image, or sizes differ.
    """
    if not saved.images:
        raise ValueError(f"'{saved.folder}' has no predictions: nothing can be packed.")
    predicted = saved_images(saved)
    own = dict(zip(by_key(predicted, key, str(saved.folder)), saved.images, strict=True))
    images = predicted if target.images is None else target.images
    wanted = by_key(images, key, target.source)
    findings = Findings()
    for name in sorted(wanted.keys() - own.keys()):
        findings.error("image without a prediction", name)
    for name in sorted(own.keys() - wanted.keys(), key=str):
        findings.error("prediction of no image of the test set", name)
    for name in sorted(own.keys() & wanted.keys()):
        size = wanted[name].size
        if size is not None and size != own[name].size:
            findings.error("size", f"{name}: prediction {own[name].size}, image {size} (H, W)")
    if findings.errors:
        raise ValueError(
            f"the predictions in '{saved.folder}' are not those of {target.source}: "
            + "; ".join(finding.text for finding in findings.errors)
        )
    return [(name, wanted[name], own[name]) for name in sorted(own)]


def check_image_files(
    names: Iterable[str],
    member_key: Callable[[str], str | None],
    target: Target,
    image_key: Callable[[TargetImage], str],
    findings: Findings,
) -> list[tuple[str, str, tuple[int, int] | None]]:
    """Find the file of each image among the members of a zip file.

    Args:
        names: Members.
        member_key: Key of the image that a member is of, None where its name is of no image.
        target: Its images are expected; without them, any are.
        image_key: Key of an image.
        findings: Wrong names, surplus files and missing images are reported here.

    Returns:
        Key, member and size of each image that is expected.
    """
    images = target.images
    wanted = None if images is None else by_key(images, image_key, target.source)
    found: dict[str, str] = {}
    for name in names:
        image = member_key(name)
        if image is None:
            findings.error("file whose name is not as the server asks", name)
        elif wanted is not None and image not in wanted:
            findings.error("surplus file, of no image of the test set", name)
        elif image in found:
            findings.error("two files of one image", f"{found[image]} and {name}")
        else:
            found[image] = name
    for image in sorted((wanted or {}).keys() - found.keys()):
        findings.error("image without a prediction", image)
    if not found:
        findings.error("no prediction at all", "the zip file has none")
    return [
        (image, name, wanted[image].size if wanted is not None else None)
        for image, name in found.items()
    ]


# Pillow and tifffile raise these at headers that are cut off.
_DAMAGE = (OSError, SyntaxError, ValueError, IndexError, struct.error, Image.DecompressionBombError)


def _image_size(path: Path) -> tuple[int, int]:
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            # Microscopes write kinds of TIFF that Pillow does not open.
            with tifffile.TiffFile(path) as tiff:
                return tiff.pages.first.imagelength, tiff.pages.first.imagewidth
        with Image.open(path) as image:
            return image.size[1], image.size[0]
    except _DAMAGE as error:
        raise ValueError(f"image '{path}' is damaged or no image ({error}).") from error
