"""What every benchmark script shares: fresh processes, wall time, peak memory and the report.

A script defines one *factory* per alternative: a module-level function that builds its inputs and
returns the callable to be measured. ``measure(factory, ...)`` runs it in a process of its own, so
that neither memory nor threads of one alternative touch the other::

    def dense(tokens: int) -> Callable[[], float]:
        x = torch.rand(tokens, 16)
        return lambda: float((x @ x.T).sum())

    if __name__ == "__main__":
        result = measure(dense, 4096, threads=2)
        report("my_benchmark", {"seconds": result.seconds, "peak_mib": result.peak_mib})
"""

import ctypes
import dataclasses
import json
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).resolve().parent / "results"
_MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What one alternative cost.

    Attributes:
        seconds: Median wall time of one call.
        all_seconds: Wall time of each call, in order.
        peak_mib: Highest resident memory during the first call, less what was resident before it,
            in MiB. With CUDA: the highest allocated device memory, less what was allocated before.
        value: What the last call returned; it has to be picklable.
    """

    seconds: float
    all_seconds: list[float]
    peak_mib: float
    value: Any


def machine_info(threads: int | None = None) -> dict[str, Any]:
    """Processor, threads and versions, to stand beside every published number."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "threads": threads or torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "date": time.strftime("%Y-%m-%d"),
    }


def measure(
    factory: Callable[..., Callable[[], Any]],
    *args: Any,
    repeats: int = 5,
    warmup: int = 1,
    threads: int | None = None,
    device: str = "cpu",
    **kwargs: Any,
) -> Measurement:
    """Run a factory's callable in a fresh process and say what it cost.

    The very first call gives the peak memory (afterwards the allocator may reuse pages unseen) and
    counts as the first warm-up call. A factory should run its callable once on a tiny input if
    lazily loaded libraries would count otherwise.

    Args:
        factory: Module-level function, called with ``args`` and ``kwargs`` in the new process.
        *args: Passed to the factory; picklable.
        repeats: Timed calls, at least 1.
        warmup: Untimed calls before them, at least 1.
        threads: Threads of torch and OpenMP in the new process; all cores if not given.
        device: ``'cpu'`` or ``'cuda'``: where memory is counted and what is waited for.
        **kwargs: Passed to the factory; picklable.

    Raises:
        ValueError: If ``repeats`` or ``warmup`` is less than 1.
        RuntimeError: If the process died (signal 9 is usually missing memory) or raised.
    """
    if repeats < 1 or warmup < 1:
        raise ValueError(f"repeats and warmup must be at least 1, got {repeats} and {warmup}")
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    plan = (repeats, warmup, threads or os.cpu_count() or 1, device)
    saved = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(plan[2])
    try:
        process = context.Process(target=_worker, args=(sender, factory, args, kwargs, plan))
        process.start()
    finally:
        if saved is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = saved
    sender.close()
    try:
        outcome = receiver.recv()
    except EOFError:
        outcome = None
    process.join()
    if outcome is None:
        raise RuntimeError(
            f"{factory.__name__}: its process ended with exit code {process.exitcode} and without "
            "a result; -9 usually means that memory ran out: use a smaller size"
        )
    if isinstance(outcome, str):
        raise RuntimeError(f"{factory.__name__} failed in its process: {outcome}")
    return outcome


def report(name: str, payload: dict[str, Any], threads: int | None = None) -> Path:
    """Write ``results/<name>.json`` atomically and print the last line, ``RESULT {json}``.

    Args:
        name: File name without extension.
        payload: JSON-serialisable figures; ``name`` and ``machine`` are added.
        threads: What ``measure`` was given.

    Returns:
        Path of the file.
    """
    # Not at the top: the measured processes import this module too and need no mmengine.
    from attnseg.engine.atomic import to_plain, write_json

    record = {"name": name, **payload, "machine": machine_info(threads)}
    path = RESULTS / f"{name}.json"
    write_json(path, record)
    print("RESULT " + json.dumps(to_plain(record)), flush=True)
    return path


def print_table(header: list[str], rows: list[list[Any]]) -> None:
    """Print rows under a header, columns aligned; floats get four significant digits."""
    cells = [[f"{c:.4g}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    widths = [max(len(row[i]) for row in [header, *cells]) for i in range(len(header))]
    for row in [header, ["-" * w for w in widths], *cells]:
        print("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())


def _worker(
    sender: Connection,
    factory: Callable[..., Callable[[], Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    plan: tuple[int, int, int, str],
) -> None:
    repeats, warmup, threads, device = plan
    torch.set_num_threads(threads)
    try:
        function = factory(*args, **kwargs)
        peak, value = _peak_of(function, device)
        for _ in range(warmup - 1):
            value = function()
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            value = function()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        sender.send(Measurement(statistics.median(seconds), seconds, peak, value))
    except Exception as error:
        sender.send(f"{type(error).__name__}: {error}")
        raise


def _peak_of(function: Callable[[], Any], device: str) -> tuple[float, Any]:
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        value = function()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / _MIB, value
    _release_free_memory()
    _reset_peak()
    before = _resident("VmRSS")
    value = function()
    return (_resident("VmHWM") - before) / _MIB, value


def _release_free_memory() -> None:
    # Free pages that the allocator keeps resident would hide what the call needs.
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _reset_peak() -> None:
    # Not permitted in some containers; the peak then includes what the factory itself needed.
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError as error:
        print(f"peak memory includes the set-up ({error})", file=sys.stderr)


def _resident(key: str) -> int:
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    # macOS counts bytes here, everyone else KiB; it knows only the peak, never the present.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
