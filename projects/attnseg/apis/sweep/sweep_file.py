"""The sweep file: read, checked, and its product of cells."""

import difflib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attnseg.apis.command import UsageError
from attnseg.apis.config_errors import config_errors
from attnseg.apis.experiment import config_folders
from attnseg.apis.sweep.names import check_names, label_of
from attnseg.apis.sweep.paper import Paper, read_paper

_NAMES = (
    *("title", "base", "options", "axes", "seeds", "columns", "max_iters", "max_epochs"),
    *("paper", "small"),
)
_SMALL = tuple(name for name in _NAMES if name not in ("paper", "small"))
_CHOICE = ("config", "options", "data")
_LENGTHS = ("max_iters", "max_epochs")


@dataclass(frozen=True)
class Choice:
    """One value of an axis.

    Attributes:
        label: Its name in tables; of an axis over a key, the value as text.
        config: Leaf in place of the base; None keeps the base.
        options: Dotted keys -> values.
        data: Takes the place of the data folder; None keeps the config's.
    """

    label: str
    config: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    data: str | None = None


@dataclass(frozen=True)
class Axis:
    """A name and its choices, at least one."""

    name: str
    choices: tuple[Choice, ...]

    @property
    def labels(self) -> list[str]:
        """The choices' labels, all different."""
        return [choice.label for choice in self.choices]


@dataclass(frozen=True)
class Cell:
    """One combination of the axes: what all its seeds share.

    Attributes:
        labels: One for each axis.
        config: What ``find_config`` takes.
        options: Dotted keys -> values; later axes win over earlier ones and over the sweep's.
        data: Data folder; None for the config's.
    """

    labels: tuple[str, ...]
    config: str
    options: Mapping[str, Any]
    data: str | None


@dataclass(frozen=True)
class Sweep:
    """A sweep file's content.

    Attributes:
        path: The file.
        name: Its stem, with ``-small`` for the small form.
        title: Headline of the table.
        base: Leaf of the runs whose axes name none.
        options: Dotted keys -> values of every run.
        axes: In the order of the table's columns.
        seeds: Of each cell, at least one.
        columns: Metric keys.
        length: ``max_iters`` or ``max_epochs`` with its number; empty keeps the config's.
        paper: What the paper reports.
        small: Whether this is the small form.
    """

    path: Path
    name: str
    title: str
    base: str | None
    options: Mapping[str, Any]
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]
    columns: tuple[str, ...]
    length: Mapping[str, int]
    paper: Paper | None
    small: bool

    def cells(self) -> list[Cell]:
        """The product of the axes; the last one changes fastest.

        Raises:
            UsageError: A cell has no config, or two.
        """
        return [
            self._cell(choices) for choices in itertools.product(*(a.choices for a in self.axes))
        ]

    def _cell(self, choices: Sequence[Choice]) -> Cell:
        labels = tuple(choice.label for choice in choices)
        configs = [choice.config for choice in choices if choice.config is not None]
        if len(configs) > 1:
            raise UsageError(
                f"{self.path}: {_named(self.axes, labels)} names {len(configs)} configs "
                f"({', '.join(configs)}): only one axis may choose the leaf."
            )
        config = configs[0] if configs else self.base
        if config is None:
            raise UsageError(
                f"{self.path}: {_named(self.axes, labels)} has no config: set base = '...'."
            )
        options = dict(self.options)
        for choice in choices:
            options |= choice.options
        data = next((choice.data for choice in reversed(choices) if choice.data), None)
        return Cell(labels, config, options, data)


def find_sweep(name: str | Path) -> Path:
    """Path of a sweep file: a file, or a path or name below ``configs/sweeps/``.

    Raises:
        UsageError: Nothing of that name; proposes the nearest ones.
    """
    if Path(name).is_file():
        return Path(name).resolve()
    folders = [folder / "sweeps" for folder in config_folders()]
    wanted = str(name).removeprefix("configs/").removeprefix("sweeps/").removesuffix(".py")
    for folder in folders:
        if (folder / f"{wanted}.py").is_file():
            return (folder / f"{wanted}.py").resolve()
    files = (path for folder in reversed(folders) for path in folder.rglob("[!_]*.py"))
    known = {path.stem: path for path in files}
    if wanted in known:
        return known[wanted].resolve()
    near = difflib.get_close_matches(Path(wanted).name, known, n=3, cutoff=0.5)
    raise UsageError(
        f"sweep '{name}' not found: neither a file nor below configs/sweeps."
        + (f" Did you mean {', '.join(near)}?" if near else " Give the path of a sweep file.")
    )


def read_sweep(name: str | Path, small: bool = False) -> Sweep:
    """Read and check a sweep file; no config of it is opened.

    Args:
        name: See :func:`find_sweep`.
        small: Take the names in ``small`` instead of the file's own.

    Raises:
        UsageError: A name, axis, label or number is wrong; names the file and the key.
    """
    from mmengine.config import Config

    path = find_sweep(name)
    with config_errors(path):
        content = _plain(dict(Config.fromfile(str(path)).items()))
    # Names with an underscore are the file's own helpers.
    content = {key: value for key, value in content.items() if not key.startswith("_")}
    try:
        check_names(content, _NAMES, "top level")
        full = _sweep(path, content, small=False)
        if not small:
            return full
        if content.get("small") is None:
            raise UsageError("has no small = dict(...), so there is no --small form.")
        changes = _dict(content["small"], "small")
        check_names(changes, _SMALL, "small")
        if any(changes.get(name) is not None for name in _LENGTHS):
            content = content | dict.fromkeys(_LENGTHS)
        return _sweep(path, content | changes, small=True, paper=full.paper)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _sweep(
    path: Path, content: Mapping[str, Any], small: bool, paper: Paper | None = None
) -> Sweep:
    base, title = content.get("base"), content.get("title") or path.stem
    for key, value in (("base", base), ("title", title)):
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{key}: expected a text, got {value!r:.60}.")
    axes = tuple(_axis(name, values) for name, values in _dict(content.get("axes"), "axes").items())
    columns = _list(content.get("columns"), "columns", str)
    if not small and content.get("paper") is not None:
        labels = {axis.name: axis.labels for axis in axes}
        paper = read_paper(_dict(content["paper"], "paper"), labels, columns)
    return Sweep(
        path=path,
        name=path.stem + ("-small" if small else ""),
        title=title,
        base=base,
        options=_options(content.get("options"), "options"),
        axes=axes,
        seeds=tuple(_seeds(content.get("seeds"))),
        columns=tuple(columns),
        length=_length(content),
        paper=paper,
        small=small,
    )


def _axis(name: Any, values: Any) -> Axis:
    where = f"axes[{name!r}]"
    if not isinstance(name, str) or not name:
        raise UsageError(f"{where}: the name of an axis is a text.")
    if isinstance(values, Mapping):
        if "." in name:
            raise UsageError(
                f"{where}: a dict makes a named axis, whose name has no dots. Give a list of "
                "values to vary this config key."
            )
        choices = [_choice(f"{where}[{label!r}]", label, item) for label, item in values.items()]
    elif isinstance(values, (list, tuple)):
        choices = [Choice(label_of(value), options={name: value}) for value in values]
    else:
        raise UsageError(
            f"{where}: expected a list of values of this config key, or a dict from label to "
            f"leaf, got {values!r:.60}."
        )
    if not choices:
        raise UsageError(f"{where}: the axis is empty, so there would be no run.")
    axis = Axis(name, tuple(choices))
    if twice := _twice(axis.labels):
        raise UsageError(f"{where}: {twice!r} is there twice; each value needs its own label.")
    return axis


def _choice(where: str, label: Any, item: Any) -> Choice:
    if not isinstance(label, str) or not label.strip():
        raise UsageError(f"{where}: the label is a text that is not empty.")
    if isinstance(item, str):
        return Choice(label, config=item)
    if not isinstance(item, Mapping):
        raise UsageError(
            f"{where}: expected the name of a leaf or dict(config=..., options=..., data=...), "
            f"got {item!r:.60}."
        )
    check_names(item, _CHOICE, where)
    for key in ("config", "data"):
        if not isinstance(item.get(key), (str, type(None))):
            raise UsageError(f"{where}.{key}: expected a text, got {item[key]!r:.60}.")
    options = _options(item.get("options"), f"{where}.options")
    return Choice(label, item.get("config"), options, item.get("data"))


def _options(value: Any, where: str) -> dict[str, Any]:
    options = _dict(value, where)
    for key in options:
        if not isinstance(key, str) or not key:
            raise UsageError(f"{where}: {key!r} is no dotted config key.")
    return options


def _seeds(value: Any) -> list[int]:
    seeds = _list(value, "seeds", int)
    if any(isinstance(seed, bool) or not 0 <= seed < 2**32 for seed in seeds):
        raise UsageError(f"seeds: expected whole numbers from 0 to 2**32 - 1, got {seeds}.")
    return seeds


def _length(content: Mapping[str, Any]) -> dict[str, int]:
    given = {name: content[name] for name in _LENGTHS if content.get(name) is not None}
    if len(given) > 1:
        raise UsageError("max_iters and max_epochs are both given: a run has one length.")
    for name, steps in given.items():
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
            raise UsageError(f"{name}: expected a whole number from 1 on, got {steps!r:.60}.")
    return given


def _dict(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UsageError(f"{where}: expected a dict, got {value!r:.60}.")
    return dict(value)


def _list(value: Any, where: str, kind: type) -> list[Any]:
    if not isinstance(value, (list, tuple)) or not value:
        raise UsageError(f"{where}: expected a list of at least one, got {value!r:.60}.")
    for item in value:
        if not isinstance(item, kind):
            raise UsageError(f"{where}: expected {kind.__name__}, got {item!r:.60}.")
    if twice := _twice(value):
        raise UsageError(f"{where}: {twice!r} is there twice.")
    return list(value)


def _twice(values: Iterable[Any]) -> Any:
    seen = set()
    for value in values:
        if value in seen:
            return str(value)
        seen.add(value)
    return None


def _named(axes: Sequence[Axis], labels: Sequence[str]) -> str:
    pairs = zip(axes, labels, strict=True)
    return ", ".join(f"{axis.name}={label}" for axis, label in pairs) or "the run"


def _plain(value: Any) -> Any:
    """Dicts and lists of Python's own: mmengine's dict reads attributes as keys."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value
