"""How wide the decoder is where it costs most."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """Cost of the decoder, coarsest level first.

    Attributes:
        full_branches: whether mask and instance branch have two 3x3 convolutions (or a
            bottleneck).
        pixel_ratio: width of the feed-forward on pixels, as a multiple of the channels.
    """

    full_branches: tuple[bool, bool, bool, bool]
    pixel_ratio: tuple[float, float, float, float]


PRESETS = {
    # The published code: two 3x3 convolutions a branch, feed-forward of 2048 for 256 channels.
    "full": Preset((True, True, True, True), (8, 8, 8, 8)),
    # The 3x3 branches and the feed-forward on pixels at the finest level are half of all work.
    "fast": Preset((True, True, False, False), (4, 4, 2, 1)),
}
