"""SyncBatchNorm on nodes without GPUs: the same formula over gloo."""

import functools
from typing import Any


def install_sync_bn() -> None:
    """Let ``torch.nn.SyncBatchNorm`` train on the CPU, which it refuses in several processes."""
    from torch.nn import SyncBatchNorm
    from torch.nn.parallel import DistributedDataParallel

    if not hasattr(SyncBatchNorm.forward, "attnseg_original"):
        SyncBatchNorm.forward = _cpu_aware_forward(SyncBatchNorm.forward)
        # All that it does is to refuse these layers on the CPU.
        DistributedDataParallel._passing_sync_batchnorm_handle = lambda self, module: None


def _cpu_aware_forward(original: Any) -> Any:
    @functools.wraps(original)
    def forward(self: Any, input: Any) -> Any:
        from torch import distributed

        together = self.training and input.device.type == "cpu" and distributed.is_initialized()
        if together and distributed.get_world_size(self.process_group) > 1:
            return _normalize(self, input)
        return original(self, input)

    forward.attnseg_original = original  # type: ignore[attr-defined]
    return forward


def _normalize(norm: Any, x: Any) -> Any:
    """Batch normalisation by the mean and variance over the pixels of all processes."""
    import torch
    from torch.distributed.nn.functional import all_reduce

    axes = [0, *range(2, x.dim())]
    group = norm.process_group or torch.distributed.group.WORLD
    values = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    count = values.new_tensor([x.numel() // x.shape[1]])
    sums = all_reduce(torch.cat([values.sum(axes), count]), group=group)
    total = sums[-1].detach()
    mean = sums[:-1] / total
    centred = values - _as_map(mean, x)
    # From the true mean in a second pass: sums of squares would cancel.
    variance = all_reduce(centred.square().sum(axes), group=group) / total
    if norm.track_running_stats:
        _update(norm, mean.detach(), variance.detach(), float(total))
    y = centred * _as_map((variance + norm.eps).rsqrt(), x)
    if norm.affine:
        y = y * _as_map(norm.weight, x) + _as_map(norm.bias, x)
    return y.to(x.dtype)


def _update(norm: Any, mean: Any, variance: Any, total: float) -> None:
    import torch

    with torch.no_grad():
        norm.num_batches_tracked += 1
        momentum = norm.momentum
        if momentum is None:
            momentum = 1.0 / float(norm.num_batches_tracked)
        norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
        unbiased = variance * (total / max(total - 1, 1))
        norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), momentum)


def _as_map(values: Any, like: Any) -> Any:
    return values.view(1, -1, *[1] * (like.dim() - 2))
