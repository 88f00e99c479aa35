"""Image files of a data set: where they lie, and how large they are."""

import os
from collections import defaultdict
from functools import cached_property
from pathlib import Path

import tifffile
from PIL import Image

from ..transforms.decode import is_tiff

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")


class ImageFiles:
    """Images below a folder, found by the names that an annotation file gives.

    Paths from the folder are taken as they are; only a name that is none is looked for below it.

    Published sets differ in whether images lie flat or in folders of their own (LIVECell: one a
    cell type), while their annotations mostly give bare names.

    Args:
        folder: Folder to look in, with all that is below.
        root: Folder that paths in the written json are relative to, so that it can be the
            ``data_root`` of a config; it may be another one than that of the images.

    Raises:
        FileNotFoundError: If the folder does not exist.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(
                f"image folder '{folder}' does not exist: unpack the set there."
            )
        self.folder, self.root = folder, root

    @cached_property
    def _paths(self) -> dict[str, list[Path]]:
        paths: dict[str, list[Path]] = defaultdict(list)
        for path in list_images(self.folder, recursive=True):
            paths[path.name].append(path)
        if not paths:
            raise FileNotFoundError(
                f"no image ({', '.join(SUFFIXES)}) below '{self.folder}': unpack the images there."
            )
        return paths

    def find(self, name: str) -> Path | None:
        """Find an image by its listed name: a path below ``folder``, or a file name.

        Returns:
            Its path, or None where there is none.

        Raises:
            FileNotFoundError: If no image at all is below ``folder``.
            ValueError: If several files below ``folder`` have the name.
        """
        if (self.folder / name).is_file():
            return self.folder / name
        found = self._paths.get(Path(name.replace("\\", "/")).name, [])
        if len(found) > 1:
            raise ValueError(
                f"image '{name}' is {len(found)} times below '{self.folder}': '{found[0]}' and "
                f"'{found[1]}'. Leave one of them, or give the folder of this split's images."
            )
        return found[0] if found else None

    def relative(self, path: Path) -> str:
        """Path of an image as a json in ``root`` lists it."""
        return relative(path, self.root)


def relative(path: Path, root: Path) -> str:
    """Path from ``root``, with forward slashes; ``..`` where it lies outside."""
    return Path(os.path.relpath(path, root)).as_posix()


def list_images(folder: Path, recursive: bool = False) -> list[Path]:
    """List the image files of a folder, by name; hidden ones (``._a.png``) are left out."""
    paths = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def find_one(root: Path, name: str) -> Path | None:
    """Find the file or folder of a name anywhere below a folder, or None.

    Raises:
        ValueError: If there are several.
    """
    found = sorted(root.rglob(name))
    if len(found) > 1:
        raise ValueError(
            f"'{name}' is {len(found)} times below '{root}': '{found[0]}' and '{found[1]}'. Leave "
            "one of them there."
        )
    return found[0] if found else None


def read_size(path: Path) -> tuple[int, int]:
    """Read height and width in pixels from the header of an image file.

    TIFF is read as ``attnseg.LoadImage`` does: pages and channels count as channels.

    Raises:
        ValueError: Naming the file, if it is damaged or no image.
    """
    try:
        with path.open("rb") as file:
            tiff = is_tiff(file.read(4))
        if tiff:
            with tifffile.TiffFile(path) as file:
                series = file.series[0]
                return tuple(int(series.shape[series.axes.index(axis)]) for axis in "YX")
        with Image.open(path) as header:
            return header.height, header.width
    except Exception as error:  # Decoders fail at damaged bytes in more ways than a list can name.
        raise ValueError(
            f"image '{path}' cannot be decoded: it is damaged or no image ({error}). Restore the "
            "file."
        ) from error


def check_size(path: Path, size: tuple[int, int], source: Path, listed: tuple[int, ...]) -> None:
    """Raise ``ValueError`` unless an image and what is said of it agree in height and width."""
    if size != tuple(listed):
        raise ValueError(
            f"image '{path}' is {size[0]}x{size[1]} (height x width), but "
            f"{'x'.join(map(str, listed))} in '{source}': both must have one size. Pair the right "
            "files."
        )
