"""Records of runs: found below folders, read and checked."""

import difflib
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from attnseg.file_names import fault_of_name

SCHEMA = 1
_NAMES = re.compile(r"record(-\d+)?\.json|\d{8}_\d{6}-(train|test)-.+\.json")
_BESIDE = ("per_image", "predictions")
_TEXTS = (
    *("work_dir", "per_image", "predictions", "started", "finished", "command"),
    *("config.file", "config.hash", "config.init", "checkpoint.file", "checkpoint.sha256"),
    *("checkpoint.config_hash", "git.revision", "cost.device"),
    *(f"data.{key}" for key in ("type", "split", "annotations", "hash")),
)
_MOST_DIGITS = 300  # More may be beyond the range of float.
_NESTED = ("config", "checkpoint", "git", "data", "intervals", "versions", "hardware", "cost")


class Value(NamedTuple):
    """A metric of one run with its interval; NaN where unknown."""

    value: float
    low: float = math.nan
    high: float = math.nan


class Problem(NamedTuple):
    """A file that could not be used, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Record:
    """One ``record.json``.

    Attributes:
        path: The file.
        data: Its content, of the schema of this version.
    """

    path: Path
    data: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Unique name that the run gave itself."""
        return self.data["id"]

    @property
    def name(self) -> str:
        """Name of the config."""
        return self.data["name"]

    @property
    def mode(self) -> str:
        """Either train or test."""
        return self.data["mode"]

    @property
    def seed(self) -> int | None:
        """Seed of the run, if it was recorded."""
        return self.data.get("seed")

    @property
    def time(self) -> str:
        """When it ended, as sortable text."""
        return str(self.get("finished") or self.get("started") or "")

    @property
    def evaluators(self) -> list[dict[str, Any]]:
        """Type, prefix, settings and annotations of each evaluator."""
        return self.data.get("evaluators") or []

    @cached_property
    def prefixes(self) -> list[str | None]:
        """Prefix of each evaluator; "" too if a metric's key can have none."""
        bare = any("/" not in key for key in self.data["metrics"])
        return [
            *(evaluator.get("prefix") for evaluator in self.evaluators),
            *([""] if bare else []),
        ]

    @cached_property
    def metrics(self) -> dict[str, Value]:
        """Values by full key; what the run could not define is NaN."""
        return {
            key: Value(*(_number(entry.get(part)) for part in Value._fields))
            for key, entry in self.data["metrics"].items()
        }

    @property
    def folder(self) -> str:
        """The run folder, that above the folder named after the time.

        In a results folder, where the files are named by id, the record says where it was.
        """
        if self.path.name.startswith("record") or not self.get("work_dir"):
            return str(self.path.resolve().parent.parent)
        return os.path.normpath(self.get("work_dir"))

    def get(self, key: str) -> Any:
        """A value by its dotted key, None where the record lacks it."""
        value: Any = self.data
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def beside(self, key: str) -> Path | None:
        """A file or folder that the record names, relative to itself; None if it names none."""
        name = self.get(key)
        return self.path.parent / name if name else None


def load_records(paths: Sequence[str | Path]) -> tuple[list[Record], list[Problem]]:
    """Read all records below some folders; files may be given too.

    Returns:
        The records, oldest first, copies of one record once, and the files and folders that cannot
        be used.

    Raises:
        FileNotFoundError: If a path does not exist; proposes similar names.
    """
    records: dict[str, Record] = {}
    files, problems = find_records(paths)
    for path in files:
        try:
            record = read_record(path)
        except ValueError as error:
            problems.append(Problem(path, str(error)))
            continue
        # Where a copy lies, and what lies beside it, does not make it another record.
        content = {key: record.data[key] for key in record.data if key not in _BESIDE}
        twin = records.get(key := json.dumps(content, sort_keys=True))
        if twin is None or not _is_there(twin.beside("per_image")):
            records[key] = record
    return sorted(records.values(), key=lambda record: (record.time, record.id)), problems


def find_records(paths: Iterable[str | Path]) -> tuple[list[Path], list[Problem]]:
    """Find records below folders, each file once; links are followed.

    They are named ``record.json``, ``record-2.json`` and so on in run folders, ``<id>.json`` in
    results folders.

    Returns:
        The files, sorted, and the folders that cannot be read.

    Raises:
        FileNotFoundError: If a path does not exist; proposes similar names.
    """
    found: set[str] = set()
    seen: set[str] = set()
    problems: list[Problem] = []
    for path in map(Path, paths):
        if path.is_dir():
            found.update(_walk(path, seen, problems))
        elif path.is_file():
            found.add(os.path.realpath(path))
        else:
            raise FileNotFoundError(f"'{path}' does not exist{_proposal(path)}.")
    return sorted(map(Path, found)), problems


def read_record(path: str | Path) -> Record:
    """Read one record.

    Raises:
        ValueError: If it is damaged or of another schema; names the file and the key.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_int=_integer)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"'{path}' cannot be read as JSON ({error}).") from error
    if not isinstance(data, dict):
        raise ValueError(f"'{path}' is no record: it holds a {type(data).__name__}.")
    if data.get("schema") != SCHEMA:
        raise ValueError(
            f"'{path}' has the schema {data.get('schema')!r:.40}, this version reads {SCHEMA}: "
            "use the attnseg that wrote it, or test the checkpoint again."
        )
    problem = _first_problem(data)
    if problem:
        raise ValueError(f"'{path}': {problem}; test the checkpoint again.")
    return Record(path, data)


def _walk(folder: Path, seen: set[str], problems: list[Problem]) -> list[str]:
    def note(error: OSError) -> None:
        reason = f"the folder '{error.filename}' cannot be read ({error.strerror})."
        problems.append(Problem(Path(error.filename), reason))

    found = []
    for root, folders, names in os.walk(folder, onerror=note, followlinks=True):
        # Links may lead in circles.
        if (real := os.path.realpath(root)) in seen:
            folders.clear()
            continue
        seen.add(real)
        found += [os.path.realpath(os.path.join(root, n)) for n in names if _NAMES.fullmatch(n)]
    return found


def _is_there(path: Path | None) -> bool:
    return path is not None and path.exists()


def _proposal(path: Path) -> str:
    if not path.parent.is_dir():
        return f", nor does its parent '{path.parent}'"
    names = [entry.name for entry in path.parent.iterdir()]
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return f"; is '{path.parent / close[0]}' meant?" if close else ""


def _first_problem(data: Mapping[str, Any]) -> str | None:
    for key in ("id", "name", "mode"):
        if not isinstance(data.get(key), str) or not data[key]:
            return f"'{key}' is {data.get(key)!r:.40}, expected a text"
    if Path(data["id"]).name != data["id"]:
        return f"'id' is {data['id']!r:.40}, expected a text that can name a file"
    if data["mode"] not in ("train", "test"):
        return f"'mode' is {data['mode']!r:.40}, expected 'train' or 'test'"
    if not isinstance(data.get("seed"), (int, type(None))) or isinstance(data.get("seed"), bool):
        return f"'seed' is {data['seed']!r:.40}, expected an integer or null"
    for key in _NESTED:
        if not isinstance(data.get(key), (dict, type(None))):
            return f"'{key}' is {data[key]!r:.40}, expected an object or null"
    for key in _TEXTS:
        group, _, part = key.rpartition(".")
        value = ((data.get(group) or {}) if group else data).get(part)
        if not isinstance(value, (str, type(None))):
            return f"'{key}' is {value!r:.40}, expected a text or null"
    beside = data.get("per_image")
    if beside and (Path(beside).name != beside or fault_of_name(beside)):
        return f"'per_image' is {beside!r:.40}, expected the name of a file beside the record"
    evaluators = data.get("evaluators") or []
    if not isinstance(evaluators, list) or not all(isinstance(e, dict) for e in evaluators):
        return f"'evaluators' is {evaluators!r:.40}, expected a list of objects"
    for evaluator in evaluators:
        texts = [evaluator.get(key) for key in ("type", "prefix", "annotations")]
        fine = all(isinstance(text, (str, type(None))) for text in texts)
        if not fine or not isinstance(evaluator.get("settings"), (dict, type(None))):
            return (
                f"evaluator {evaluator!r:.60}: type and prefix are texts, settings an object, "
                "annotations a text; or null"
            )
    level = (data.get("intervals") or {}).get("level")
    if level is not None and not (_is_number(level) and 0 < level < 1):
        return f"'intervals.level' is {level!r:.40}, expected a number between 0 and 1"
    metrics = data.get("metrics")
    if not isinstance(metrics, dict):
        return f"'metrics' is {metrics!r:.40}, expected an object"
    for key, entry in metrics.items():
        parts = [entry.get(part) for part in Value._fields] if isinstance(entry, dict) else [entry]
        if not isinstance(entry, dict) or not all(map(_is_number, parts)):
            return f"metric '{key}' is {entry!r:.60}, expected value, low and high, numbers or null"
    return None


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def _number(value: Any) -> float:
    # json.loads reads 1e999 as infinity, which is no measurement.
    return float(value) if value is not None and math.isfinite(value) else math.nan
