"""Metrics as columns: which are shown, which direction is better, in which unit they stand."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from attnseg.leaderboard.records import Record, Value
from attnseg.leaderboard.runs import evaluator_of

_SHOWN, _PER_EVALUATOR = 6, 3
_LOWER = re.compile(
    r"(hausdorff|hd\d*|distance|dist|as[sd]?d|msd|loss|error|err|mae|mse|rmse|ece|nll|brier)",
    re.IGNORECASE,
)
_PERCENT_TYPES = ("IoUMetric", "CocoPanopticMetric")


@dataclass(frozen=True)
class Column:
    """A metric of a table.

    Attributes:
        key: Full key, with the evaluator's prefix.
        lower: Whether lower values are better.
        percent: Whether the values are fractions, shown in percent.
    """

    key: str
    lower: bool
    percent: bool

    def better(self, a: float, b: float) -> bool:
        """Whether a is better than b."""
        return a < b if self.lower else a > b

    def sort_key(self, value: float) -> tuple[bool, float]:
        """Orders values from best to worst, undefined ones last."""
        return (math.isnan(value), 0.0 if math.isnan(value) else value if self.lower else -value)

    def show(self, value: float | None, digits: int = 2) -> str:
        """The value as text, in percent if it is a fraction."""
        if value is None or math.isnan(value):
            return "n/a"
        return f"{value * 100 if self.percent else value:.{digits}f}"


def lower_is_better(key: str) -> bool:
    """Tell from a metric's name whether it is a distance or an error.

    Whole words of the name behind the prefix count, so ``boundary/mHD95`` and
    ``surface_distance`` are, and ``PQ_st`` is not.
    """
    words = re.split(r"[_\-\s.@/]+|(?<=[a-z])(?=[A-Z])", "/".join(key.split("/")[:2]))
    return any(_LOWER.fullmatch(word) for word in words)


def is_main(key: str, prefixes: Iterable[str | None]) -> bool:
    """Whether a key stands for all classes; ``coco/AP/person`` and ``IoU/road`` do not."""
    first, _, rest = key.partition("/")
    return "/" not in (rest if first in set(prefixes) else key)


def default_keys(record: Record) -> list[str]:
    """The first metrics over all classes of each evaluator: up to three, and six in all."""
    prefixes = [evaluator.get("prefix") for evaluator in record.evaluators]
    most = min(_PER_EVALUATOR, max(1, _SHOWN // max(len(prefixes), 1)))
    taken: dict[str | None, int] = {}
    keys = []
    for key in record.metrics:
        if not is_main(key, prefixes):
            continue
        first = key.partition("/")[0]
        prefix = first if first in prefixes else None
        taken[prefix] = taken.get(prefix, 0) + 1
        if taken[prefix] <= most:
            keys.append(key)
    order = {prefix: i for i, prefix in enumerate(prefixes)}
    return sorted(keys, key=lambda key: order.get(key.partition("/")[0], len(order)))


def make_column(key: str, records: Sequence[Record]) -> Column:
    """Describe a metric by what the runs of one table say about it.

    Values are taken for fractions if all of them are in [0, 1] and the evaluator is not known to
    report percent.
    """
    values = [record.metrics[key].value for record in records if key in record.metrics]
    known = [value for value in values if not math.isnan(value)]
    types = {str((evaluator_of(record, key) or {}).get("type")) for record in records}
    foreign = any(name.rpartition(".")[2] in _PERCENT_TYPES for name in types)
    lower = lower_is_better(key)
    fraction = not lower and not foreign and all(0 <= value <= 1 for value in known)
    return Column(key, lower, fraction)


def with_prefix(key: str, metrics: Mapping[str, Value]) -> str:
    """Full key of a metric that was named with or without its prefix.

    Raises:
        ValueError: If no metric or several have the name; lists what there is.
    """
    if key in metrics:
        return key
    found = [full for full in metrics if full.partition("/")[2] == key]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"metric '{key}' is ambiguous: {', '.join(found)}.")
    shown = ", ".join(sorted(full for full in metrics if full.count("/") <= 1)[:20])
    raise ValueError(f"no run has the metric '{key}'; there are: {shown or 'none'}.")
