"""How many classes a model is built for, read from its config."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

# Parts that have classes of their own: proposals, the extra head of HTC, pre-trained classifiers.
_OTHERS = {"rpn_head", "semantic_head", "backbone", "neck", "data_preprocessor", "init_cfg"}
_SPLITS = (("num_things", "num_stuff"), ("num_things_classes", "num_stuff_classes"))


class ClassCount(NamedTuple):
    """What a part of the model says.

    Attributes:
        key: Dotted config key.
        classes: Number of classes.
        things: How many of them are things, where it says so.
    """

    key: str
    classes: int
    things: int | None


def class_counts(model: Any, key: str = "model") -> Iterator[ClassCount]:
    """Every number of classes that a model's config gives.

    Args:
        model: Config of the model.
        key: Its own dotted key.
    """
    if isinstance(model, Mapping):
        for things, stuff in _SPLITS:
            if isinstance(model.get(things), int) and isinstance(model.get(stuff), int):
                count = model[things] + model[stuff]
                yield ClassCount(f"{key}.{things} + {stuff}", count, model[things])
        if isinstance(model.get("num_classes"), int):
            yield ClassCount(f"{key}.num_classes", model["num_classes"], None)
        for name, part in model.items():
            if name not in _OTHERS:
                yield from class_counts(part, f"{key}.{name}")
    elif isinstance(model, (list, tuple)):
        for position, part in enumerate(model):
            yield from class_counts(part, f"{key}.{position}")
