"""Regions of full precision inside mixed precision."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def without_autocast(x: Tensor) -> AbstractContextManager[None]:
    """Context in which operators on the tensor's device keep the precision of their inputs."""
    kind = x.device.type
    # Devices without autocast (meta, for counting) refuse even to turn it off.
    if not torch.amp.is_autocast_available(kind):
        return nullcontext()
    return torch.autocast(kind, enabled=False)
