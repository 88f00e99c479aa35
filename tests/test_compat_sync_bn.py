"""SyncBatchNorm over two processes on the CPU against BatchNorm over the whole batch."""

from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing, nn

from attnseg.compat import setup_env

SIZES = (1, 3)


def _inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(sum(SIZES), 5, 3, 4, generator=generator, dtype=torch.float64) + 3
    return x, torch.randn(x.shape, generator=generator, dtype=torch.float64)


def _norm(kind: type, momentum: float | None) -> nn.Module:
    norm = kind(5, momentum=momentum).double()
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, 5))
        norm.bias.copy_(torch.linspace(-1, 1, 5))
    return norm


def _process(rank: int, folder: str, momentum: float | None) -> None:
    setup_env()
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    norm = _norm(nn.SyncBatchNorm, momentum)
    x, weight = (part.split(SIZES)[rank] for part in _inputs())
    x = x.clone().requires_grad_()
    for _ in range(2):
        x.grad = None
        norm.zero_grad()
        y = norm(x)
        (y * weight).sum().backward()
    for parameter in norm.parameters():
        distributed.all_reduce(parameter.grad)
    state = dict(norm.state_dict())
    torch.save(
        {"y": y.detach(), "x": x.grad, "w": norm.weight.grad, "b": norm.bias.grad, **state},
        f"{folder}/{rank}.pt",
    )
    distributed.destroy_process_group()


@pytest.mark.parametrize("momentum", [0.1, None])
def test_equals_batch_norm_of_the_whole_batch(tmp_path: Path, momentum: float | None) -> None:
    multiprocessing.spawn(_process, (str(tmp_path), momentum), nprocs=2)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    norm = _norm(nn.BatchNorm2d, momentum)
    x, weight = _inputs()
    x.requires_grad_()
    for _ in range(2):
        x.grad = None
        norm.zero_grad()
        y = norm(x)
        (y * weight).sum().backward()
    for key, expected in (("y", y.detach()), ("x", x.grad)):
        parts = torch.cat([part[key] for part in found])
        torch.testing.assert_close(parts, expected, rtol=0, atol=1e-10)
    for part in found:
        torch.testing.assert_close(part["w"], norm.weight.grad, rtol=0, atol=1e-10)
        torch.testing.assert_close(part["b"], norm.bias.grad, rtol=0, atol=1e-10)
        for key, value in norm.state_dict().items():
            torch.testing.assert_close(part[key], value, rtol=0, atol=1e-10)
