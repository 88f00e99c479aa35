"""Importing the package costs next to nothing."""

import subprocess
import sys

HEAVY = {"torch", "numpy", "mmengine", "mmcv", "mmdet", "mmseg", "matplotlib", "cv2"}


def _imported_by(statement: str) -> set[str]:
    """The modules that a statement adds in a fresh interpreter."""
    code = (
        "import sys; before = set(sys.modules); "
        f"{statement}; print('\\n'.join(set(sys.modules) - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_import_attnseg_loads_only_itself() -> None:
    assert _imported_by("import attnseg") == {"attnseg"}


def test_import_compat_loads_nothing_heavy() -> None:
    assert not HEAVY & _imported_by("import attnseg.compat")


def test_import_apis_loads_nothing_heavy() -> None:
    assert not HEAVY & _imported_by("import attnseg.apis; dir(attnseg.apis)")


def test_functions_of_apis_stay_functions() -> None:
    from attnseg import apis

    assert {"get_model", "list_models", "segment"} <= set(dir(apis))
    for _ in range(2):
        assert all(callable(getattr(apis, name)) for name in apis.__all__)
    assert not hasattr(apis, "segments")


def test_version_is_a_release_number() -> None:
    import attnseg

    assert all(part.isdigit() for part in attnseg.__version__.split("."))
