"""Stop a training whose loss is NaN or infinite, and say where it began."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from attnseg.registry import HOOKS

_SHOWN_IMAGES = 16


@HOOKS.register_module()
class InvalidLossHook(Hook):
    """Raise when a loss is NaN or infinite; name the loss, the iteration and the images.

    mmdet's CheckInvalidLossHook looks at the sum only and names neither.

    Args:
        interval: Check each that many iterations. Losses on a GPU are compared
            there; a check costs one synchronisation.

    Raises:
        RuntimeError: From the training loop, at the first bad loss.
    """

    priority = "VERY_HIGH"

    def __init__(self, interval: int = 1) -> None:
        if interval < 1:
            raise ValueError(f"InvalidLossHook: interval must be at least 1, got {interval}.")
        self.interval = interval

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Check the losses that ``train_step`` logged."""
        if not outputs or not self.every_n_train_iters(runner, self.interval):
            return
        losses = {
            name: torch.as_tensor(value).detach().float().mean()
            for name, value in outputs.items()
            if "loss" in name
        }
        if not losses:
            return
        device = next(iter(losses.values())).device
        finite = torch.isfinite(torch.stack([value.to(device) for value in losses.values()]))
        if bool(finite.all()):
            return
        bad = [
            f"{name} = {value.item()}"
            for (name, value), good in zip(losses.items(), finite.tolist(), strict=True)
            if not good
        ]
        raise RuntimeError(
            f"invalid loss in iteration {runner.iter + 1} (epoch {runner.epoch + 1}): "
            f"{', '.join(bad)}. Images of the batch: {describe_images(data_batch)}. "
            "Look at their labels, lower the learning rate, or clip gradients "
            "(optim_wrapper.clip_grad)."
        )


def describe_images(data_batch: Any) -> str:
    """Paths of the images of a batch, else their ids, else 'unknown'."""
    samples = data_batch.get("data_samples") if isinstance(data_batch, Mapping) else None
    names = []
    for sample in samples if isinstance(samples, (list, tuple)) else ():
        meta = getattr(sample, "metainfo", None) or {}
        name = meta.get("img_path", meta.get("img_id"))
        if name is not None:
            names.append(str(name))
    if not names:
        return "unknown"
    more = len(names) - _SHOWN_IMAGES
    return ", ".join(names[:_SHOWN_IMAGES]) + (f" and {more} more" if more > 0 else "")
