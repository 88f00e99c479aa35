"""Metrics as columns: which are shown, which direction is better, in which unit they stand."""

import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from attnseg.leaderboard.records import Record
from attnseg.leaderboard.runs import evaluator_of

_SHOWN, _PER_EVALUATOR = 6, 3
_DISTANCE = re.compile(r"hausdorff|hd\d*|distance|dist|as[sd]?d|msd", re.IGNORECASE)
_ERROR = re.compile(
    r"loss|error|err|mae|mse|rmse|ece|nll|brier|abs_rel|sq_rel|silog|log10", re.IGNORECASE
)
_SIZE = re.compile(r"size|mib", re.IGNORECASE)
_GAIN, _INPUT = "gain_", "coarse_"
_EXPONENTS = ("hurst_", "dfa_", "beta_")
_PERCENT_TYPES = ("IoUMetric", "CocoPanopticMetric")


@dataclass(frozen=True)
class Column:
    """A metric of a table.

    Attributes:
        key: Full key, with the evaluator's prefix.
        lower: Whether lower values are better.
        percent: Whether the values are fractions, shown in percent.
        ranked: Whether a run can win here; not in what its input has (``coarse_IoU``), nor in
            exponents of long-range dependency.
        pixels: Whether the values are distances.
    """

    key: str
    lower: bool
    percent: bool
    ranked: bool = True
    pixels: bool = False

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


def split_prefix(key: str, prefixes: Collection[str | None]) -> tuple[str, str]:
    """Split a key into the prefix, "" if it has none, and the metric's own name.

    A first part that is no known prefix is one nevertheless if every known evaluator has another,
    or if a known one follows: a data set's, from MMEngine's ``MultiDatasetEvaluator``.
    """
    parts, known = key.split("/"), {prefix or "" for prefix in prefixes}
    if len(parts) > 2 and parts[0] not in known and parts[1] in known:
        count = 2
    else:
        count = int(len(parts) > 1 and (parts[0] in known or "" not in known))
    return "/".join(parts[:count]), "/".join(parts[count:])


def lower_is_better(key: str, prefixes: Collection[str | None] = ()) -> bool:
    """Tell from a metric's name whether it is a distance, an error or a size.

    Whole words of the name behind the prefix count, so ``boundary/mHD95`` and
    ``surface_distance`` are, and ``PQ_st`` is not; neither prefixes nor classes count. Of a gain
    (``gain_HD95``: by how much a value is better) higher is better whatever it is a gain of.
    """
    name = split_prefix(key, prefixes)[1].partition("/")[0]
    words = (_DISTANCE, _ERROR, _SIZE)
    return not name.startswith(_GAIN) and any(_has(each, name) for each in words)


def _has(words: re.Pattern[str], name: str) -> bool:
    parts = re.split(r"[_\-\s.@]+|(?<=[a-z])(?=[A-Z])", name)
    return any(words.fullmatch(part) for part in (name, *parts))


def is_main(key: str, prefixes: Collection[str | None]) -> bool:
    """Whether a key stands for all classes; ``coco/AP/person`` and ``IoU/road`` do not."""
    return "/" not in split_prefix(key, prefixes)[1]


def default_keys(record: Record) -> list[str]:
    """The first metrics of each evaluator: up to three, and six in all.

    Those over all classes; those of classes only where there are no others.
    """
    prefixes = record.prefixes
    main = [key for key in record.metrics if is_main(key, prefixes)] or list(record.metrics)
    groups: dict[str, list[str]] = {}
    for key in main:
        groups.setdefault(split_prefix(key, prefixes)[0], []).append(key)
    most = min(_PER_EVALUATOR, max(1, _SHOWN // max(len(groups), 1)))
    order = {prefix or "": i for i, prefix in enumerate(prefixes)}
    first = sorted(groups, key=lambda prefix: order.get(prefix, len(order)))
    return [key for prefix in first for key in groups[prefix][:most]]


def make_column(key: str, records: Sequence[Record]) -> Column:
    """Describe a metric by what the runs of one table say about it.

    Values are taken for fractions if all of them are in [0, 1] and the evaluator is not known to
    report percent.
    """
    values = [record.metrics[key].value for record in records if key in record.metrics]
    known = [value for value in values if not math.isnan(value)]
    types = {str((evaluator_of(record, key) or {}).get("type")) for record in records}
    foreign = any(name.rpartition(".")[2] in _PERCENT_TYPES for name in types)
    prefixes = {prefix for record in records for prefix in record.prefixes}
    lower = lower_is_better(key, prefixes)
    name = split_prefix(key, prefixes)[1].partition("/")[0]
    least = -1 if name.startswith(_GAIN) else 0
    pixels = _has(_DISTANCE, name)
    fraction = not (pixels or _has(_ERROR, name) or _has(_SIZE, name) or foreign)
    fraction = fraction and not name.startswith(_EXPONENTS)
    fraction = fraction and all(least <= v <= 1 for v in known)
    return Column(key, lower, fraction, not name.startswith((_INPUT, *_EXPONENTS)), pixels)


def with_prefix(key: str, metrics: Iterable[str]) -> str:
    """Full key of a metric that was named with or without its prefix.

    Args:
        key: With a slash in front, only that without a prefix is meant.
        metrics: Full keys.

    Raises:
        ValueError: If no metric or several have the name; lists what there is.
    """
    metrics = list(metrics)
    if key[:1] == "/" and key[1:] in metrics:
        return key[1:]
    found = [full for full in metrics if key in (full, full.partition("/")[2])]
    if len(found) == 1:
        return found[0]
    if found:
        bare = f"; '/{key}' is that without a prefix" if key in found else ""
        raise ValueError(f"metric '{key}' is ambiguous: {', '.join(found)}{bare}.")
    shown = ", ".join(sorted(full for full in metrics if full.count("/") <= 1)[:20])
    raise ValueError(f"no run has the metric '{key}'; there are: {shown or 'none'}.")
