"""Images whose channels are not the model's are named before the first step."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseDataPreprocessor
from torch import nn

from attnseg.engine.hooks import ChannelsHook
from attnseg.errors import InputError


class Net(nn.Module):
    def __init__(self, mean: int | None = None) -> None:
        super().__init__()
        self.data_preprocessor = BaseDataPreprocessor()
        if mean is not None:
            self.data_preprocessor.register_buffer("mean", torch.zeros(mean))
        # Not used first, though it stands first.
        self.backbone = nn.ModuleDict({"last": nn.Conv2d(8, 1, 1), "first": nn.Conv2d(3, 8, 1)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.backbone["last"](self.backbone["first"](x))


def _check(model: nn.Module, channels: int) -> None:
    images = [torch.zeros(channels, 4, 4)]
    ChannelsHook().before_train_iter(SimpleNamespace(model=model), 0, {"inputs": images})
    model(torch.stack(images))


def test_channels_that_fit() -> None:
    for mean in (None, 1, 3):
        model = Net(mean)
        _check(model, 3)
        assert not any(layer._forward_pre_hooks for layer in model.modules())


def test_channels_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="1 channels, model.data_preprocessor.mean has 3 values"):
        _check(Net(3), 1)
    with pytest.raises(InputError, match="1 channels, the first layer .* takes 3: set"):
        _check(Net(), 1)


def test_what_it_cannot_look_at_passes() -> None:
    hook = ChannelsHook()
    hook.before_train_iter(SimpleNamespace(model=nn.Linear(2, 2)), 0, {"inputs": torch.zeros(2, 2)})
    _check(nn.Conv2d(3, 1, 1), 3)
