"""The raw outputs of any OpenMMLab model, backbone and every head included."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn


def raw_forward(model: nn.Module, inputs: Tensor, samples: Sequence[Any] | None) -> Any:
    """Run a model as its ``tensor`` mode is meant: all heads, no post-processing.

    mmseg's ``EncoderDecoder`` gives its head the features alone, on which the heads of MaskFormer
    and Mask2Former fail: they need the samples too, and get them here.

    Args:
        model: A detector or segmentor.
        inputs: (B, C, H, W), as the model's preprocessor gives them.
        samples: One for each image, with ``img_shape`` and ``batch_input_shape``.
    """
    head = getattr(model, "decode_head", None)
    if head is not None and samples and _required(head.forward) > 1:
        return head(model.extract_feat(inputs), samples)
    return model(inputs, samples, mode="tensor")


def _required(function: Callable[..., Any]) -> int:
    """Number of positional parameters without a default."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(
        parameter.kind in kinds and parameter.default is inspect.Parameter.empty
        for parameter in inspect.signature(function).parameters.values()
    )
