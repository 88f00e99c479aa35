"""Install ``attnseg`` from ``projects/``, with configs, tools and model index as ``attnseg/.mim``.

OpenMMLab's lookups (``_base_ = 'attnseg::...'``, mim) want these files inside
the package. An editable install gets links, so that edits in ``configs/`` count
at once; a wheel or an sdist gets copies.
"""

import os
import re
import shutil
import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel

ROOT = Path(__file__).resolve().parent
PACKAGE = Path("projects") / "attnseg"
SHIPPED = ("configs", "tools", "model-index.yml")


def read_version() -> str:
    """The version that the package itself states."""
    text = (ROOT / PACKAGE / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if match is None:
        raise RuntimeError(f"{PACKAGE}/__init__.py states no __version__.")
    return match[1]


def read_requirements(name: str) -> list[str]:
    """The lines of a requirements file without comments."""
    lines = (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


def add_mim(copy: bool) -> None:
    """Put the shipped files into ``attnseg/.mim``: copies for archives, links otherwise."""
    mim = ROOT / PACKAGE / ".mim"
    if mim.is_symlink():
        mim.unlink()
    elif mim.exists():
        shutil.rmtree(mim)
    mim.mkdir()
    for name in SHIPPED:
        source, target = ROOT / name, mim / name
        if not copy:
            target.symlink_to(os.path.relpath(source, mim), target_is_directory=source.is_dir())
        elif source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy2(source, target)


def shipped_files() -> list[str]:
    """The files below ``.mim``, relative to the package."""
    package = ROOT / PACKAGE
    found = (
        Path(folder) / name
        for folder, _, names in os.walk(package / ".mim", followlinks=True)
        for name in names
    )
    return [str(path.relative_to(package)) for path in found if "__pycache__" not in path.parts]


class MimWheel(bdist_wheel):
    """A wheel with a second copy of ``.mim`` beside its metadata.

    mim looks for it in the folder of the first file that pip lists. Of a distribution that is
    named as its package, this is the metadata's.
    """

    def write_wheelfile(self, wheelfile_base: str, *args: str, **kwargs: str) -> None:
        """Add ``.mim`` when the metadata's folder is made."""
        super().write_wheelfile(wheelfile_base, *args, **kwargs)
        mim = ROOT / PACKAGE / ".mim"
        # An editable install has links there, and mim finds the checkout.
        if not any(path.is_symlink() for path in mim.iterdir()):
            shutil.copytree(mim, Path(wheelfile_base) / ".mim")


if __name__ == "__main__":
    # PEP 660 runs `editable_wheel`, older tools `develop`: whatever makes no archive gets links.
    archive = bool({"sdist", "bdist_wheel", "build", "install"} & set(sys.argv))
    add_mim(copy=archive)
    setup(
        name="attnseg",
        version=read_version(),
        description="Attention-driven segmentation for the OpenMMLab stack",
        license="Apache-2.0",
        python_requires=">=3.10,<3.13",
        cmdclass={"bdist_wheel": MimWheel},
        package_dir={"": "projects"},
        packages=find_packages("projects", include=["attnseg", "attnseg.*"]),
        package_data={
            "attnseg": [*shipped_files(), "*/README.md", "*/assets/*", "apis/*/assets/*"]
        },
        install_requires=["torch>=2.4", *read_requirements("runtime.txt")],
        extras_require={
            "tests": read_requirements("tests.txt"),
            "optional": read_requirements("optional.txt"),
        },
    )
    if archive:
        # Copies left in a checkout would go stale behind an editable install.
        add_mim(copy=False)
