"""Runs: what is ranked. A run is one training, given by config, starting weights and seed."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from attnseg.leaderboard.records import Record, Value


@dataclass(frozen=True)
class Run:
    """The latest measurement of a run.

    Attributes:
        record: Latest test record; the train record where the run was never tested.
        replaced: Number of other run folders whose older tests this one stands for.
    """

    record: Record
    replaced: int = 0

    @property
    def name(self) -> str:
        """Name of the config, and whether views were merged."""
        return self.record.name + (" (TTA)" if self.record.get("tta") else "")

    @property
    def seed(self) -> int | None:
        """Seed of the training; None if the weights do not say it."""
        return self.record.seed

    @property
    def metrics(self) -> dict[str, Value]:
        """Values by full key."""
        return self.record.metrics

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for the members of a seed group.

        What the weights were trained with, and from which weights, counts: a test does not see
        options of the training.
        """
        trained = self.record.get("checkpoint.config_hash")
        config = self.record.get("config.hash") or self.record.get("config.file")
        return (self.name, trained or config, self.record.get("config.init"))

    @property
    def training(self) -> tuple[Any, ...]:
        """Equal for all measurements of one training.

        Without a seed nothing says so, except the same weights in the same folder.
        """
        where = (self.record.folder, self.record.get("checkpoint.sha256"))
        return (self.identity, self.seed, where if self.seed is None else None)

    def cost(self, key: str) -> float | None:
        """A number of the record's ``cost``."""
        value = self.record.get(f"cost.{key}")
        return value if isinstance(value, (int, float)) else None


def latest_runs(
    records: Iterable[Record], prefixes: Collection[str | None] | None = None
) -> list[Run]:
    """Keep the latest measurement of each run.

    A run has one row for each data set and set of evaluators that it was tested with. Two tests of
    the same config, starting weights and seed are the same run, also with other checkpoints or in
    other folders: the later one counts.

    Args:
        records: Oldest first.
        prefixes: Only the evaluators of these prefixes tell tests apart; None for all.
    """
    records = list(records)
    latest: dict[str, Run] = {}
    folders: dict[str, set[str]] = {}
    for mode in ("train", "test"):
        for record in records:
            if record.mode != mode or not record.metrics:
                continue
            run = Run(record)
            key = canonical([run.training, comparison_key(record, prefixes)])
            folders.setdefault(key, set()).add(record.folder)
            latest[key] = replace(run, replaced=len(folders[key]) - 1)
    return list(latest.values())


def prefixes_of(keys: Iterable[str]) -> set[str | None]:
    """Prefixes that evaluators of these metrics may have; those without one are among them."""
    return {None, "", *(part for key in keys for part in key.split("/")[:-1])}


def comparison_key(
    record: Record, prefixes: Collection[str | None] | None = None
) -> dict[str, Any]:
    """What two runs must share to be ranked in one table.

    Args:
        record: Of the run.
        prefixes: Only the evaluators of these prefixes matter; None for all.
    """
    data = record.get("data") or {}
    key = {
        "split": data.get("split"),
        "annotation hash": data.get("hash"),
        "images": data.get("images"),
        "classes": data.get("classes"),
        "things": data.get("things"),
    }
    if data.get("hash") is None:
        # Without a hash, only names can tell data apart.
        key |= {"data set": data.get("type"), "annotation file": data.get("annotations")}
    key["evaluators"] = sorted(
        (
            {part: evaluator.get(part) for part in ("type", "prefix", "settings", "annotations")}
            for evaluator in record.evaluators
            if prefixes is None or evaluator.get("prefix") in prefixes
        ),
        key=canonical,
    )
    return key


def evaluator_of(record: Record, key: str) -> dict[str, Any] | None:
    """The evaluator that a metric's key belongs to: that of its prefix, else one without."""
    by_prefix = {evaluator.get("prefix"): evaluator for evaluator in record.evaluators}
    for prefix in (*key.split("/")[:-1], None, ""):
        if prefix in by_prefix:
            return by_prefix[prefix]
    return None


def describe_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Say in which parts two comparison keys differ, down to the setting."""
    found = []
    for key in {**a, **b}:
        if key == "evaluators" or canonical(a.get(key)) == canonical(b.get(key)):
            continue
        found.append(f"{key} {_both(a.get(key), b.get(key))}")
    only_a, only_b = (
        [e for e in one["evaluators"] if canonical(e) not in map(canonical, other["evaluators"])]
        for one, other in ((a, b), (b, a))
    )
    for left in list(only_a):
        twin = next((e for e in only_b if e.get("type") == left.get("type")), None)
        if twin is not None:
            only_a.remove(left)
            only_b.remove(twin)
            found += _evaluator_differences(left, twin)
    if only_a or only_b:
        only_a, only_b = a["evaluators"], b["evaluators"]
        left, right = (
            " + ".join(str(e.get("type")) for e in x) or "none" for x in (only_a, only_b)
        )
        found.append(f"evaluators {left} and {right}")
    if not found and canonical(a) != canonical(b):
        found.append(f"evaluators {_both(a['evaluators'], b['evaluators'])}")
    return found


def canonical(value: Any) -> str:
    """Text that is equal for equal values, be they written as 1 or 1.0."""
    return json.dumps(_whole(value), sort_keys=True, default=str)


def _whole(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _whole(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _evaluator_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    name, found = a.get("type"), []
    for key in ("prefix", "annotations"):
        if a.get(key) != b.get(key):
            found.append(f"{name}'s {key} {_both(a.get(key), b.get(key))}")
    settings_a, settings_b = a.get("settings"), b.get("settings")
    if settings_a is None or settings_b is None:
        differ = settings_a is not settings_b
        return found + [f"{name}'s settings {_both(settings_a, settings_b)}"] * differ
    for key in {**settings_a, **settings_b}:
        left, right = (_setting(settings, key) for settings in (settings_a, settings_b))
        if canonical(left) != canonical(right):
            found.append(f"{name}'s {key} {_both(left, right)}")
    return found


def _setting(settings: Mapping[str, Any], key: str) -> Any:
    # What was set to nothing is known, what was not recorded is not.
    return "none" if key in settings and settings[key] is None else settings.get(key)


def _both(a: Any, b: Any) -> str:
    left, right = _short(a), _short(b)
    # Whole where the short texts are alike: "1" and 1, or long lists.
    return f"{left} and {right}" if left != right else f"{canonical(a)} and {canonical(b)}"


def _short(value: Any) -> str:
    if value is None:
        return "unknown"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if len(text) == 64 and all(c in "0123456789abcdef" for c in text):
        return text[:12]
    return text if len(text) <= 60 else f"{text[:57]}..."
