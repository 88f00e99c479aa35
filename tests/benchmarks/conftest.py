"""Fresh processes of the benchmarks that do not import everything anew."""

import multiprocessing

import pytest

_HEAVY = ["attnseg.iaunet", "attnseg.datasets", "attnseg.evaluation", "mmseg.apis"]


@pytest.fixture(autouse=True)
def _forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork them from one process that has imported what takes long."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_HEAVY)
    monkeypatch.setattr(multiprocessing, "get_context", lambda _=None: context)
