"""Two processes: images without objects on one rank or on both."""

import os
import socket
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from mmengine.dist import init_dist
from torch.nn.parallel import DistributedDataParallel

from attnseg.compat import leave_group, setup_env
from tests.iaunet.factory import detector, sample

# Numbers of objects of each rank.
CASES = ((3, 0), (0, 0), (1, 4))


def work(rank: int, port: int, folder: str) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1")
    os.environ["MASTER_PORT"] = str(port)
    torch.set_num_threads(1)
    setup_env()
    init_dist("pytorch", backend="gloo")
    torch.save([outcome(rank, case[rank]) for case in CASES], Path(folder) / f"{rank}.pt")
    leave_group()


def outcome(rank: int, objects: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Gradients of all parameters, and losses, behind two passes."""
    torch.manual_seed(0)
    model = detector(deep_supervision=True)
    wrapped = DistributedDataParallel(model)
    torch.manual_seed(rank)
    for _ in range(2):
        # A second pass fails if a parameter took no part in the first.
        losses = wrapped(torch.randn(1, 3, 32, 32), [sample((32, 32), objects)], mode="loss")
        sum(losses.values()).backward()
    return {name: p.grad for name, p in model.named_parameters()}, losses


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[list]:
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(work, (port, str(folder)), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_ranks_agree_and_leave_no_parameter_out(ranks: list[list], case: int) -> None:
    (one, losses), (two, other) = (rank[case] for rank in ranks)
    assert one.keys() == two.keys()
    for name, gradient in one.items():
        assert gradient is not None and gradient.isfinite().all(), name
        assert torch.equal(gradient, two[name]), name
    assert all(v.isfinite() for v in (*losses.values(), *other.values()))
    assert (other["loss_mask"].item() == 0) == (CASES[case][1] == 0)
