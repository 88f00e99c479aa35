"""Fresh processes of the benchmarks that do not import everything anew."""

import multiprocessing

import pytest

_HEAVY = ["attnseg.iaunet", "attnseg.datasets", "attnseg.evaluation", "mmseg.apis"]


@pytest.fixture(autouse=True, scope="session")
def _prepared_processes() -> None:
    """One that has imported what takes long, from which all others are forked."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(_HEAVY)


@pytest.fixture(autouse=True)
def _forked(monkeypatch: pytest.MonkeyPatch) -> None:
    get_context = multiprocessing.get_context
    monkeypatch.setattr(multiprocessing, "get_context", lambda _=None: get_context("forkserver"))
