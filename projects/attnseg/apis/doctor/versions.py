"""Installed packages against the ranges that were tested, as the installed metadata has them."""

import importlib.metadata
from collections.abc import Iterator
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement

OK, WARNING, FAULT = "ok", "warning", "fault"
# The OpenMMLab stack also exists under its first names.
_FIRST_NAMES = {
    "onedl-mmengine": ("mmengine", "mmengine-lite"),
    "onedl-mmcv": ("mmcv", "mmcv-lite"),
    "onedl-mmdetection": ("mmdet",),
    "onedl-mmsegmentation": ("mmsegmentation",),
}


class Line(NamedTuple):
    """One line of the report: its state, what is there, and the fix where there is one."""

    state: str
    text: str
    fix: str = ""


def check_versions() -> Iterator[Line]:
    """A line for each dependency, the optional ones last."""
    try:
        listed = importlib.metadata.requires("attnseg") or []
    except importlib.metadata.PackageNotFoundError:
        yield Line(
            FAULT,
            "attnseg is on the path, but not installed: its dependencies are unknown",
            "pip install -e . in the checkout",
        )
        return
    parsed = [requirement for text in listed if (requirement := _parse(text)) is not None]
    needed = [part for part in parsed if _applies(part, "")]
    yield from (_check(part) for part in needed)
    others = [part for part in parsed if part not in needed and _applies(part, "optional")]
    yield from (_check(part, optional=True) for part in others)


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _parse(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


def _check(requirement: Requirement, optional: bool = False) -> Line:
    name, wanted = requirement.name, str(requirement.specifier)
    command = f"pip install '{name}{wanted}'"
    found = _version(name)
    if found is None:
        for other in _FIRST_NAMES.get(name, ()):
            if version := _version(other):
                text = f"{other} {version} in place of {name}, with which it was tested"
                return Line(WARNING, text, f"if it does not work: {command}")
        if optional:
            return Line(OK, f"{name} is not installed (optional)", command)
        return Line(FAULT, f"{name} is not installed", command)
    if requirement.specifier.contains(found, prereleases=True):
        return Line(OK, f"{name} {found}" + " (optional)" * optional)
    return Line(WARNING, f"{name} {found} is outside the tested range {wanted}", command)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
