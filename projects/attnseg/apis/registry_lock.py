"""Registries that import nothing: the second line behind the check of a JSON config.

mmengine's ``Registry.get`` takes a name that it does not know for a dotted path, imports it and
returns whatever is there: ``{"type": "os.system", "command": "..."}`` runs a command, and a prefix
alone imports a module. A check of ``type`` cannot see names under other keys.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

_FIX = "after a config in JSON was read, registries find only what is registered"


def lock_registries() -> None:
    """Let the registries of this process find only classes that are registered; idempotent.

    Modules of packages that are imported already (mmdet, mmseg, attnseg and whatever the program
    uses itself) are still imported for their registered classes. A config in Python that is read
    later in the same process must not name classes by dotted paths.
    """
    from mmengine.registry import registry

    registry.get_object_from_string = _no_object
    registry.import_module = _import_known


def _no_object(name: str) -> Any:
    return None


def _import_known(name: str, package: str | None = None) -> ModuleType:
    if name.partition(".")[0] not in sys.modules:
        raise ImportError(f"'{name}' is not imported: {_FIX}.")
    return importlib.import_module(name, package)
