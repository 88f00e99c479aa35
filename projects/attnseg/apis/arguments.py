"""Arguments of a config that its classes do not take, or that its data contradicts."""

import difflib
import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attnseg.apis.command import UsageError

_UNKNOWN = re.compile(r"([\w.]+?)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'")


@contextmanager
def argument_errors(cfg: Any) -> Iterator[None]:
    """Name the config key of an argument that a class built from the config does not have.

    A wrong call inside the class, of an argument that the config does not give, is a bug of the
    class and stays as it is.

    Raises:
        UsageError: In place of the TypeError of such a call; proposes the nearest argument.
    """
    try:
        yield
    except TypeError as error:
        match = _UNKNOWN.search(str(error))
        built = _built(error)
        kinds = getattr(built, "__mro__", (built,))
        # A base class may be the one that refuses.
        if match is None or match[1].rpartition(".")[2] not in {
            getattr(kind, "__name__", "") for kind in kinds
        }:
            raise
        text = _unknown(cfg, built, match[2])
        if text is None:
            raise
        raise UsageError(text) from error


def _built(error: TypeError) -> Any:
    """What the innermost registry was building."""
    frame, built = error.__traceback__, None
    while frame is not None:
        if frame.tb_frame.f_code.co_name == "build_from_cfg":
            built = frame.tb_frame.f_locals.get("obj_cls")
        frame = frame.tb_next
    return built


def _unknown(cfg: Any, built: Any, name: str) -> str | None:
    kinds = built.__mro__[:-1] if inspect.isclass(built) else (built,)
    known = {
        parameter.name
        for kind in kinds
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    near = difflib.get_close_matches(name, known - {name}, n=1)
    keys = [key for key, part in _parts(dict(cfg.items())) if name in part and _names(part, built)]
    if not keys:
        return None
    fix = f"Did you mean {near[0]}?" if near else f"It takes {', '.join(sorted(known))}."
    return f"{keys[0]}.{name}: {built.__name__} has no argument '{name}'. {fix}"


def _names(part: Mapping[str, Any], built: Any) -> bool:
    from attnseg.engine.config_hash import type_name

    return type_name(part) in (built.__name__, "")


def _parts(value: Any, key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each dict of a config that names a type, with its dotted key."""
    if isinstance(value, Mapping):
        if "type" in value:
            yield key, value
        items: Any = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return
    for name, item in items:
        yield from _parts(item, f"{key}.{name}" if key else str(name))


def check_classes(runner: Any) -> None:
    """Compare the model's classes with those of the data, if the run has mmdet's hook for it.

    Raises:
        UsageError: They differ; names the config key, both numbers and the classes.
    """
    from mmengine.model import is_model_wrapper

    names = {type(hook).__name__ for hook in getattr(runner, "hooks", ())}
    if "NumClassCheckHook" not in names:
        return
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    for loop, loader in (("_train_loop", "train_dataloader"), ("_val_loop", "val_dataloader")):
        data = getattr(getattr(getattr(runner, loop, None), "dataloader", None), "dataset", None)
        classes = (getattr(data, "metainfo", None) or {}).get("classes")
        if classes is None or isinstance(classes, str):
            continue
        wrong = {
            name: module.num_classes
            for name, module in model.named_modules()
            if isinstance(getattr(module, "num_classes", None), int)
            and module.num_classes != len(classes)
            # The parts that the hook leaves out too.
            and not name.endswith("rpn_head")
            and type(module).__name__ not in ("VGG", "FusedSemanticHead")
        }
        if wrong:
            # A model and its losses take the number from a part that the config gives it to.
            given = dict(_parts(runner.cfg.get("model") or {}))
            name = next((n for n in wrong if "num_classes" in given.get(n, ())), next(iter(wrong)))
            raise UsageError(_other_classes(name, wrong[name], loader, tuple(classes)))


def _other_classes(name: str, count: int, loader: str, classes: tuple[str, ...]) -> str:
    key = f"model.{name}.num_classes" if name else "model.num_classes"
    listed = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
    return (
        f"{key} is {count}, but the data of {loader} has {len(classes)} "
        f"{'class' if len(classes) == 1 else 'classes'} ({listed}). Set {key}={len(classes)}, or "
        f"choose classes with {loader}.dataset.metainfo.classes."
    )
