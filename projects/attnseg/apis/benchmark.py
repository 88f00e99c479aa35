"""Cost of several models side by side: size, work, time and memory, without a data set."""

import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from attnseg.apis.benchmark_worker import Setting, serve
from attnseg.apis.command import TRACEBACK_VARIABLE, UsageError

DTYPES, DEVICES, MODES = ("fp32", "bf16", "fp16"), ("cpu", "cuda"), ("tensor", "predict")
_FORCE_AFTER = 10.0


@dataclass(frozen=True)
class Row:
    """What one config costs at one precision and batch size.

    Attributes:
        name: Of the config.
        dtype: One of ``DTYPES``; anything but fp32 is autocast.
        batch: Images of a pass.
        params: Parameters, shared ones counted once.
        macs: Multiply-accumulates of one image.
        latency_ms_p50: Median wall time of a pass.
        latency_ms_p95: 95th percentile.
        images_per_second: Batch size over the median.
        peak_memory_mib: Of the process on a CPU, of torch on a GPU; see docs/benchmark.md.
        time_ratio: Time of a pass over that of the first config, median over the rounds.
        error: Why there are no figures, or None.
    """

    name: str
    dtype: str
    batch: int
    params: int | None = None
    macs: int | None = None
    latency_ms_p50: float | None = None
    latency_ms_p95: float | None = None
    images_per_second: float | None = None
    peak_memory_mib: float | None = None
    time_ratio: float | None = None
    error: str | None = None


def check(
    configs: Sequence[str], dtypes: Sequence[str], batches: Sequence[int], setting: Setting
) -> None:
    """Refuse what cannot be measured, before a process is started.

    Raises:
        UsageError: Names the argument.
    """
    import torch

    repeated = sorted({config for config in configs if configs.count(config) > 1})
    if repeated:
        raise UsageError(f"config given twice: {', '.join(repeated)}.")
    for flag, numbers in (("--shape", setting.shape), ("--batch", batches)):
        if min(numbers) < 1:
            raise UsageError(f"{flag}: expected numbers of at least 1, got {min(numbers)}.")
    if setting.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch sees no GPU. Use --device cpu.")
    if setting.device == "cpu" and "fp16" in dtypes:
        raise UsageError("--dtype fp16: half precision needs a GPU; on a CPU use bf16.")


def run_benchmark(
    configs: Sequence[str],
    *,
    setting: Setting,
    dtypes: Sequence[str] = ("fp32",),
    batches: Sequence[int] = (1,),
    repeats: int = 20,
    warmup: int = 3,
) -> list[Row]:
    """Measure configs, each in its own process, taking turns pass by pass.

    What disturbs the machine for a while then slows all of them, so that ratios hold. A config
    that fails has its error in its rows; the others go on.

    Args:
        configs: As for :func:`attnseg.apis.experiment.find_config`.
        setting: What holds for all.
        dtypes: Precisions, each measured.
        batches: Batch sizes, each measured.
        repeats: Timed passes, at least 1.
        warmup: Untimed passes before them, at least 1: the first one tells the memory.

    Raises:
        UsageError: An argument cannot be.
    """
    if repeats < 1 or warmup < 1:
        raise UsageError(f"expected --repeats and --warmup of at least 1, got {repeats}, {warmup}.")
    check(configs, dtypes, batches, setting)
    names = _short_names(configs)
    with _workers(configs, setting) as workers:
        sizes = {worker: worker.ask("build") for worker in workers}
        rows = []
        for dtype in dtypes:
            for batch in batches:
                memory = {worker: worker.ask("prepare", dtype, batch, warmup) for worker in workers}
                times: dict[_Remote, list[float]] = {worker: [] for worker in workers}
                for _ in range(repeats):
                    for worker in workers:
                        if (seconds := worker.ask("turn")) is not None:
                            times[worker].append(seconds)
                for name, worker in zip(names, workers, strict=True):
                    row = {"name": name, "dtype": dtype, "batch": batch}
                    if worker.error:
                        rows.append(Row(**row, **(sizes[worker] or {}), error=worker.error))
                        continue
                    rows.append(
                        Row(
                            **row,
                            **sizes[worker],
                            **_time_figures(times[worker], times[workers[0]], batch),
                            peak_memory_mib=memory[worker],
                        )
                    )
    return rows


def _time_figures(times: list[float], first: list[float], batch: int) -> dict[str, float | None]:
    p50, p95 = (float(value) for value in np.percentile(times, (50, 95)))
    # Turn by turn: both passes of a ratio met the same moment of the machine.
    same = len(first) == len(times)
    ratio = float(np.median(np.divide(times, first))) if same else None
    return {
        "latency_ms_p50": 1e3 * p50,
        "latency_ms_p95": 1e3 * p95,
        "images_per_second": batch / p50,
        "time_ratio": ratio,
    }


def _short_names(configs: Sequence[str]) -> list[str]:
    """Stems where they tell the configs apart, else the configs as given."""
    stems = [os.path.basename(config.rpartition("::")[2]).removesuffix(".py") for config in configs]
    return stems if len(set(stems)) == len(stems) else list(configs)


class _Remote:
    """The parent's end of a worker; after an error it answers None."""

    def __init__(self, context: Any, config: str, setting: Setting) -> None:
        self.error: str | None = None
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, config, setting), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, *order: Any) -> Any:
        if self.error:
            return None
        try:
            self._connection.send(order)
            good, answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            self.error = (
                f"its process ended with exit code {self._process.exitcode}; -9 usually means "
                "that memory ran out: use a smaller --shape or --batch"
            )
            return None
        if good:
            return answer
        self.error = " ".join(answer[0].split())
        if os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0"):
            print(answer[1], file=sys.stderr)
        return None

    def stop(self) -> None:
        with suppress(OSError):
            self._connection.send(None)
        self._process.join(_FORCE_AFTER)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()
        self._connection.close()


@contextmanager
def _workers(configs: Sequence[str], setting: Setting) -> Iterator[list[_Remote]]:
    context = multiprocessing.get_context("spawn")
    workers: list[_Remote] = []
    with _threads_of_children(setting.threads):
        try:
            for config in configs:
                workers.append(_Remote(context, config, setting))
            yield workers
        finally:
            for worker in workers:
                worker.stop()


@contextmanager
def _threads_of_children(threads: int) -> Iterator[None]:
    """OpenMP reads its number of threads when a process starts."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
