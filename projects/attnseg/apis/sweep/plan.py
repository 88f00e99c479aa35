"""From a sweep's cells and seeds to runs: their configs, contents and folders."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnseg.apis.command import UsageError
from attnseg.apis.experiment import build_config, find_config
from attnseg.apis.options import check_options
from attnseg.apis.schedule import step_unit
from attnseg.apis.sweep.options import as_arguments, check_keys, moved_data
from attnseg.apis.sweep.sweep_file import Cell, Sweep

_LONGEST = 80


@dataclass(frozen=True)
class Run:
    """One training of a sweep.

    Attributes:
        labels: Of its cell, one for each axis.
        seed: Of the training.
        config: File of the leaf.
        folder: Run folder, absolute.
        content: Hash of what the training is: see :func:`content_hash`.
        config_hash: That of its config, as its record has it.
        unit: ``max_iters`` or ``max_epochs``; None if the config has neither.
        steps: The training's length in that unit.
        arguments: What ``tools/train.py`` gets.
    """

    labels: tuple[str, ...]
    seed: int
    config: Path
    folder: Path
    content: str
    config_hash: str
    unit: str | None
    steps: int
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the run folder."""
        return self.folder.name


def plan_runs(
    sweep: Sweep, out: str | Path | None = None, data_dir: str | Path | None = None
) -> list[Run]:
    """The runs of a sweep: each cell with each seed, in the axes' order.

    A run that is there under another label is found by its content and keeps its folder; cells
    that are the same experiment share a run.

    Args:
        sweep: The file's content.
        out: Folder of the sweep's folder.
        data_dir: Takes the place of the leading ``data/`` of each data folder.

    Raises:
        UsageError: A leaf is unknown, or an option does not fit it; names the cell.
    """
    folder = sweep_folder(sweep, out)
    present = _present(folder)
    runs: list[Run] = []
    leaves: dict[Path, Any] = {}
    for cell in sweep.cells():
        try:
            planned = _Planned.of(cell, sweep.length, data_dir, leaves)
        except UsageError as error:
            labels = ", ".join(cell.labels) or "the run"
            raise UsageError(f"{sweep.path}: {labels}: {error}") from None
        for seed in sweep.seeds:
            content = content_hash(planned.config_hash, seed, planned.folders, planned.init)
            name = f"s{seed}-{content[:8]}"
            # The first label that a content had names its folder for good.
            name = present.setdefault(name, f"{_slug(sweep, cell)}-{name}")
            place = folder / name
            words = [*planned.arguments, "--seed", str(seed), "--work-dir", str(place)]
            runs.append(
                Run(
                    labels=cell.labels,
                    seed=seed,
                    config=planned.path,
                    folder=place,
                    content=content,
                    config_hash=planned.config_hash,
                    unit=planned.unit,
                    steps=planned.steps,
                    arguments=(*words, "--resume"),
                )
            )
    return runs


def sweep_folder(sweep: Sweep, out: str | Path | None = None) -> Path:
    """Where the run folders lie, absolute."""
    return Path(out or "work_dirs").absolute() / sweep.name


def content_hash(config_hash: str, seed: int, folders: Sequence[str], init: str | None) -> str:
    """SHA-256 of what makes a training another one.

    Args:
        config_hash: See :func:`attnseg.engine.config_hash.config_hash`; the length is in it.
        seed: Of the run.
        folders: Data folders as the config names them, before ``--data-dir``: its hash leaves them
            out, and two data sets may differ in nothing else.
        init: Weights to start from, which it leaves out too.
    """
    text = json.dumps([config_hash, seed, list(folders), init])
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class _Planned:
    """What the seeds of a cell share."""

    path: Path
    config_hash: str
    folders: tuple[str, ...]
    init: str | None
    unit: str | None
    steps: int
    arguments: tuple[str, ...]

    @classmethod
    def of(
        cls,
        cell: Cell,
        length: Mapping[str, int],
        data_dir: str | Path | None,
        leaves: dict[Path, Any],
    ) -> "_Planned":
        from attnseg.engine.config_hash import config_hash, data_folders

        path = find_config(cell.config)
        options, data = dict(cell.options), cell.data
        root = options.pop("data_root", None)
        data = str(root) if data is None and root is not None else data
        if path not in leaves:
            leaves[path] = build_config(path)
        plain = leaves[path]
        check_options(plain, options)
        check_keys(plain, options)
        given: dict[str, Any] = {"cfg_options": options, "data": data, **length}
        cfg = build_config(path, **given)
        folders = tuple(folder.rstrip("/") for folder in data_folders(dict(cfg.items())))
        if data_dir is not None:
            # Where the data lie changes no hash.
            moved, more = moved_data(cfg, str(data_dir))
            data, options = moved or data, options | more
        unit = step_unit(cfg)
        words = [str(path)]
        words += ["--data", data] if data is not None else []
        for name, steps in length.items():
            words += [f"--{name.replace('_', '-')}", str(steps)]
        if options:
            words += ["--cfg-options", *as_arguments(options)]
        init = cfg.get("load_from")
        return cls(
            path=path,
            config_hash=config_hash(cfg),
            folders=folders,
            init=str(init) if init else None,
            unit=unit,
            steps=cfg.train_cfg[unit] if unit else 0,
            arguments=tuple(words),
        )


def _present(folder: Path) -> dict[str, str]:
    """Seed and hash of the run folders that are there -> their names."""
    names = sorted(path.name for path in folder.glob("*") if path.is_dir())
    matches = (re.fullmatch(r"(?:.*-)?(s\d+-[0-9a-f]{8})", name) for name in names)
    return {match[1]: match[0] for match in matches if match}


def _slug(sweep: Sweep, cell: Cell) -> str:
    """A readable name of a cell that any file system takes."""
    parts = []
    for axis, label in zip(sweep.axes, cell.labels, strict=True):
        # A value alone says nothing; a label does.
        key = axis.name.rpartition(".")[2] if "." in axis.name else ""
        parts.append(f"{key}={label}" if key else label)
    text = "_".join(parts) or Path(cell.config).stem
    return re.sub(r"[^A-Za-z0-9.=+_-]+", "-", text).strip("-.")[:_LONGEST] or "run"
