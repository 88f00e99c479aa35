"""The missing runs of a sweep on this machine, one process each."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from attnseg._atomic import write_json
from attnseg.apis.sweep.claim import STATE, read_state
from attnseg.apis.sweep.plan import Run
from attnseg.apis.sweep.progress import share_done
from attnseg.apis.sweep.state import LOG, State, state_of
from attnseg.apis.sweep.task import write_task
from attnseg.engine.signals import EXIT_STATUS

_LOOK = 0.5


@dataclass
class Runner:
    """Starts runs and waits for them.

    Args:
        tool: ``tools/sweep.py``, whose ``task`` command trains a run.
        jobs: Runs at the same time.
        fail_fast: Start no more runs after the first that fails.
    """

    tool: Path
    jobs: int = 1
    fail_fast: bool = False
    _active: dict[Path, tuple[Run, "subprocess.Popen[bytes]"]] = field(default_factory=dict)
    _stop: int | None = None
    _drawn: float = -math.inf

    def run(self, runs: Sequence[Run]) -> int:
        """Train those that are not finished and that no other process has.

        A failed run does not stop the others. On SIGINT, SIGTERM or SIGUSR1 the trainings are
        asked to save and end; on a second one they are killed.

        Args:
            runs: Of the plan, each once.

        Returns:
            0 if all are done; 1 if a run failed; 75 if some are left over, as others were told to
            stop or are at work elsewhere, and after SIGTERM or SIGUSR1; 130 after SIGINT.
        """
        states = {run.folder: state_of(run) for run in runs}
        waiting = [run for run in runs if states[run.folder].name not in ("done", "running")]
        failed: list[tuple[Run, State]] = []
        with self._signals(), _bar(len(runs)) as bar:
            settled = sum(states[run.folder].name == "done" for run in runs)
            for run in runs:
                if states[run.folder].name == "running":
                    bar.write(f"left alone: {run.name}, {states[run.folder].detail}")
            while self._active or (waiting and self._stop is None):
                while waiting and len(self._active) < self.jobs and self._stop is None:
                    self._start(waiting.pop(0))
                for run in self._ended():
                    state = state_of(run)
                    # What was stopped halfway is not behind us.
                    settled += state.name in ("done", "failed")
                    if state.name == "failed":
                        failed.append((run, state))
                        waiting = [] if self.fail_fast else waiting
                    detail = f": {state.detail}" if state.detail else ""
                    bar.write(f"{state.name}: {run.name}{detail}")
                self._show(bar, settled, len(failed))
                if self._active:
                    time.sleep(_LOOK)
        for run, state in failed:
            print(f"failed: {run.name}: {state.detail} ({run.folder / LOG})", file=sys.stderr)
        if self._stop is not None:
            return 130 if self._stop == signal.SIGINT else EXIT_STATUS
        if failed:
            return 1
        return 0 if all(state_of(run).name == "done" for run in runs) else EXIT_STATUS

    def _start(self, run: Run) -> None:
        write_task(run)
        command = [sys.executable, str(self.tool), "task", str(run.folder)]
        with open(run.folder / LOG, "ab") as log:
            # Of its own session: Ctrl-C reaches us alone, and we ask it to save.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._active[run.folder] = (run, process)

    def _ended(self) -> Iterator[Run]:
        for folder, (run, process) in list(self._active.items()):
            status = process.poll()
            if status is None:
                continue
            del self._active[folder]
            state = read_state(folder)
            if state.get("state") == "running" and state.get("pid") == process.pid:
                # A signal that nobody handles leaves no word; we are the one to know it.
                word = {"state": "ended", "status": status}
                if status < 0:
                    word["error"] = f"killed by {signal.Signals(-status).name}"
                write_json(folder / STATE, {**state, **word})
            elif not state and status:
                write_json(folder / STATE, {"state": "ended", "status": status})
            yield run

    def _show(self, bar: Any, settled: int, failed: int) -> None:
        running = [run for run, _ in self._active.values()]
        bar.n = round(settled + sum(map(share_done, running)), 2)
        names = ", ".join(run.name for run in running[:2])
        more = f" and {len(running) - 2} more" if len(running) > 2 else ""
        text = f"{failed} failed, {names}{more}" if failed else names + more
        bar.set_postfix_str(text, refresh=False)
        # refresh() draws at once, which would fill a log with lines.
        if time.monotonic() - self._drawn >= bar.mininterval:
            bar.refresh()
            self._drawn = time.monotonic()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def ask(number: int, _frame: Any) -> None:
            again = self._stop is not None
            self._stop = number if self._stop is None else self._stop
            for _, process in self._active.values():
                # The whole group is killed: data workers would outlive their parent.
                if again:
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.terminate()

        chosen = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
        old = {number: signal.signal(number, ask) for number in chosen}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


def _bar(total: int) -> Any:
    seconds = 0.5 if sys.stderr.isatty() else 30.0
    return tqdm(
        total=total,
        desc="runs",
        mininterval=seconds,
        maxinterval=seconds,
        dynamic_ncols=True,
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} [{elapsed}<{remaining}] "
        "{postfix}",
    )
