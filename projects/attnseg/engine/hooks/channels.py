"""The first batch of a training has the channels that its model takes."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from attnseg.errors import InputError
from attnseg.registry import HOOKS


@HOOKS.register_module()
class ChannelsHook(Hook):
    """Compare the first batch with the model's first layer and its data_preprocessor.

    The layer is the first convolution of a model's ``backbone``, where it has one.

    Raises:
        InputError: From the first training step, if the channels differ.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._checked = False

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Check the first batch.

        Raises:
            InputError: Its images have other channels than the mean of the preprocessor.
        """
        if self._checked:
            return
        self._checked = True
        found = image_channels(data_batch)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if found is None:
            return
        mean = getattr(getattr(model, "data_preprocessor", None), "mean", None)
        if isinstance(mean, Tensor) and mean.numel() not in (1, found):
            raise InputError(
                f"images have {found} channels, model.data_preprocessor.mean has {mean.numel()} "
                "values: give mean and std one value a channel, or load other channels "
                "(channels of LoadImage, color_type of LoadImageFromFile)."
            )
        watch_first_layer(model, found)


def image_channels(data_batch: Any) -> int | None:
    """Channels of the images of a batch, (C, H, W) each or (B, C, H, W); None if unknown."""
    inputs = data_batch.get("inputs") if isinstance(data_batch, dict) else None
    if isinstance(inputs, (list, tuple)) and inputs:
        inputs = inputs[0]
    return inputs.shape[-3] if isinstance(inputs, torch.Tensor) and inputs.ndim >= 3 else None


def watch_first_layer(model: nn.Module, found: int) -> None:
    """Check the first convolution that the backbone uses, when it is used for the first time."""
    backbone = getattr(model, "backbone", None)
    handles: list[RemovableHandle] = []

    def check(layer: nn.Conv2d, inputs: tuple[Any, ...]) -> None:
        # Which layer is the first is known only now: the others need no look.
        while handles:
            handles.pop().remove()
        if inputs and inputs[0].ndim == 4 and inputs[0].shape[1] != layer.in_channels:
            raise InputError(
                f"images have {found} channels, the first layer of the model takes "
                f"{layer.in_channels}: set model.backbone.in_channels={found}, or load other "
                "channels (channels of LoadImage, color_type of LoadImageFromFile)."
            )

    for layer in backbone.modules() if isinstance(backbone, nn.Module) else ():
        if isinstance(layer, nn.Conv2d):
            handles.append(layer.register_forward_pre_hook(check))
