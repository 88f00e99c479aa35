"""Folders of a set: whether they are there, and what lies in them that nothing names."""

import os
from collections.abc import Iterable, Sequence
from os import path as osp

from .contents import Contents
from .findings import Findings
from .sets import PANOPTIC, SEMANTIC

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp")


def check_folders(contents: Contents, findings: Findings) -> None:
    """Report missing folders once, in place of each file that is to lie there."""
    source = contents.source
    for folder, field in ((source.images, "path"), (source.maps, "map_path")):
        if folder is None or "://" in folder or osp.isdir(folder or "."):
            continue
        findings.add("folder-missing", source.name, folder)
        for entry in contents.entries:
            setattr(entry, field, None)


def check_presence(contents: Contents, findings: Findings) -> None:
    """Look for the files without opening them."""
    where = contents.source.name
    for entry in contents.entries:
        if entry.path is not None and not _exists(entry.path):
            findings.add("image-missing", where, entry.name)
        if entry.map_path is not None and not _exists(entry.map_path):
            findings.add("map-missing", where, entry.map_path)


def _exists(path: str) -> bool:
    return "://" in path or osp.isfile(path)


def find_unnamed(all_contents: Sequence[Contents], findings: Findings) -> None:
    """Report image files and label maps in the folders that no set of the config names."""
    named = {
        osp.realpath(path)
        for contents in all_contents
        for entry in contents.entries
        for path in (entry.path, entry.map_path)
        if path is not None
    }
    seen: set[str] = set()
    for contents in all_contents:
        source = contents.source
        suffixes: tuple[str, ...] = (".png",)
        if source.form == SEMANTIC:
            suffixes = (source.dataset.seg_map_suffix,)
        for folder, wanted in ((source.images, _IMAGES), (source.maps, suffixes)):
            if folder is None or "://" in folder or osp.realpath(folder or ".") in seen:
                continue
            if folder == source.maps and source.form not in (PANOPTIC, SEMANTIC):
                continue
            seen.add(osp.realpath(folder or "."))
            for name in _files(folder or ".", wanted):
                if osp.realpath(osp.join(folder, name)) not in named:
                    findings.add("file-unnamed", source.name, name)


def _files(folder: str, suffixes: tuple[str, ...]) -> Iterable[str]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(suffixes):
                yield osp.relpath(osp.join(parent, name), folder)
