"""The Slurm of the tests: one per worker of pytest, each on ports of its own."""

from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster, require_cluster, running_cluster


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[Cluster]:
    """A running cluster, started by the first test that wants it."""
    require_cluster()
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def slurm(slurm_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster for one test, which leaves no job to the next."""
    yield slurm_cluster
    slurm_cluster.cancel_all()
