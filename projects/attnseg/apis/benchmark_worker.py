"""One config in a process of its own: builds, counts, and times a pass whenever it is its turn."""

import contextlib
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any


@dataclass(frozen=True)
class Setting:
    """How all configs are measured.

    Attributes:
        shape: Height and width in pixels.
        mode: ``tensor`` (all heads, no post-processing) or ``predict``.
        device: ``cpu`` or ``cuda``.
        threads: Of torch, in each process.
        compile: Whether torch.compile is used.
    """

    shape: tuple[int, int] = (512, 512)
    mode: str = "tensor"
    device: str = "cpu"
    threads: int = 1
    compile: bool = False


def serve(connection: Connection, config: str, setting: Setting) -> None:
    """Answer the parent's orders until it sends None.

    Orders are tuples of a method's name and its arguments; answers ``(True, result)`` or
    ``(False, message)``, after which the worker ends.
    """
    # What a library says of its own code while a model is built would bury the table.
    warnings.simplefilter("ignore")
    worker = Worker(config, setting)
    while (order := connection.recv()) is not None:
        try:
            connection.send((True, getattr(worker, order[0])(*order[1:])))
        except BaseException as error:
            details = "".join(traceback.format_exception(error))
            connection.send((False, (f"{type(error).__name__}: {error}", details)))
            return


class Worker:
    """Measures one config; its methods are the orders of :func:`serve`."""

    def __init__(self, config: str, setting: Setting) -> None:
        self.config, self.setting = config, setting
        self._pass: Callable[[], Any] | None = None

    def build(self) -> dict[str, Any]:
        """Build the model and count it at one image; the parameters and multiply-accumulates."""
        import torch

        from attnseg.apis.benchmark_inputs import build_model, make_pass
        from attnseg.compat import setup_env
        from attnseg.engine.complexity import count
        from attnseg.engine.memory import reset_peak, resident

        setup_env()
        torch.set_num_threads(self.setting.threads)
        import mmdet.models  # noqa: F401  (its size does not belong to the model)
        import mmseg.models  # noqa: F401

        # Free pages go back first, as they do before the peak is taken.
        reset_peak()
        self._before = resident()
        self.model = build_model(self.config).to(self.setting.device)
        setting = self.setting
        run = make_pass(self.model, "tensor", setting.shape, 1, setting.device)
        found = count(self.model, run)
        if setting.compile:
            self.model.compile()
        return {"params": found.params, "macs": found.macs}

    def prepare(self, dtype: str, batch: int, warmup: int) -> float:
        """Make the inputs of a round and warm up; the peak memory in MiB.

        On a GPU, what torch allocated for weights, inputs and activations; on a CPU, by how much
        the process grew since before the model was built.
        """
        import torch

        from attnseg.apis.benchmark_inputs import make_pass
        from attnseg.engine.memory import MIB, peak_resident, reset_peak

        setting = self.setting
        forward = make_pass(self.model, setting.mode, setting.shape, batch, setting.device)

        def run() -> None:
            with torch.no_grad(), _autocast(setting.device, dtype):
                forward(self.model)
            if setting.device == "cuda":
                torch.cuda.synchronize()

        self._pass = run
        if setting.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        else:
            reset_peak()
        for _ in range(max(1, warmup)):
            run()
        if setting.device == "cuda":
            return torch.cuda.max_memory_allocated() / MIB
        return (peak_resident() - self._before) / MIB

    def turn(self) -> float:
        """Run one pass; its wall time in seconds."""
        assert self._pass is not None, "prepare() comes first"
        start = time.perf_counter()
        self._pass()
        return time.perf_counter() - start


def _autocast(device: str, dtype: str) -> Any:
    import torch

    if dtype == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device, dtype={"bf16": torch.bfloat16, "fp16": torch.float16}[dtype])
