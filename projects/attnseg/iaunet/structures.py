"""What the parts of IAUNet hand to each other."""

from typing import NamedTuple

from torch import Tensor


class MaskPrediction(NamedTuple):
    """Predictions of N queries for a batch.

    Attributes:
        class_logits: (B, N, K + 1), the last class is "no object".
        mask_logits: (B, N, h, w), on the grid of the finest level of the decoder; its cell
            (i, j) covers the same share of the padded input as pixel (i, j) of an (h, w) image.
    """

    class_logits: Tensor
    mask_logits: Tensor


class MaskTruth(NamedTuple):
    """Objects of one image, in the coordinates of the padded input.

    Attributes:
        labels: (M,) int64; M may be 0.
        masks: (M, H, W) bool or uint8, at the full size of the padded input.
    """

    labels: Tensor
    masks: Tensor
