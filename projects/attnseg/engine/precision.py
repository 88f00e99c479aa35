"""Mixed precision without a scaler of gradients, on any device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn

from attnseg.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Train in bfloat16 where autocast allows it; weights and optimizer stay in float32.

    bfloat16 has the range of float32, so that no gradient needs scaling. mmengine's
    ``AmpOptimWrapper`` scales all the same, and refuses to start without a GPU.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Forward pass and losses of a training step."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
