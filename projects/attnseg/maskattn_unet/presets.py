"""The three topologies of MaskAttn-UNet."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """Shape of a MaskAttn-UNet.

    Attributes:
        channels: of the encoder maps, finest first; a 2x2 max pooling stands between two.
        bottleneck: channels of the maps inside the bottleneck, in order.
        decoder: channels of the decoder maps, coarsest first.
        pool_bottleneck: pool once more before the bottleneck, so that every encoder map is a
            skip; otherwise the last encoder map is the bottleneck's input.
        residual_entry: each stage starts with a residual block, and blocks have no last
            activation, as in the published code.
        encoder_attention: attention after each encoder map, finest first.
        decoder_attention: attention after each decoder map, coarsest first.
        encoder_strides: key strides of the encoder's attention, finest first.
        decoder_strides: the same for the decoder, coarsest first.
        ffn_ratio: hidden width of the attention's FFN over its channels; 0 for none.
        dropout: rate before the attention of all but the last decoder stage.
    """

    channels: tuple[int, ...]
    bottleneck: tuple[int, ...]
    decoder: tuple[int, ...]
    pool_bottleneck: bool
    residual_entry: bool
    encoder_attention: tuple[bool, ...]
    decoder_attention: tuple[bool, ...]
    encoder_strides: tuple[int, ...]
    decoder_strides: tuple[int, ...]
    ffn_ratio: float
    dropout: float


PRESETS = {
    # Sec. 4.1: four down and four up stages, 64-128-256-256. Strided keys leave 64 keys
    # a stage at 128x128 (256 at the coarsest); all keys would cost 34 GMAC and more.
    "paper": Preset(
        channels=(64, 128, 256, 256),
        bottleneck=(512, 256),
        decoder=(256, 128, 64, 64),
        pool_bottleneck=True,
        residual_entry=False,
        encoder_attention=(True, True, True, True),
        decoder_attention=(True, True, True, True),
        encoder_strides=(16, 8, 4, 1),
        decoder_strides=(1, 4, 8, 16),
        ffn_ratio=2.0,
        dropout=0.0,
    ),
    # The published code: three down and three up stages, six attention modules with all keys
    # and no FFN.
    "code": Preset(
        channels=(64, 128, 256, 256),
        bottleneck=(512, 512, 256),
        decoder=(128, 64, 64),
        pool_bottleneck=False,
        residual_entry=True,
        encoder_attention=(False, True, True, True),
        decoder_attention=(True, True, True),
        encoder_strides=(1, 1, 1, 1),
        decoder_strides=(1, 1, 1),
        ffn_ratio=0.0,
        dropout=0.3,
    ),
    # For embedded use and for CPUs, not in the paper: no attention at the finest stage, which
    # would take more time than the rest of the network.
    "small": Preset(
        channels=(16, 32, 64, 64),
        bottleneck=(96, 64),
        decoder=(64, 32, 24, 24),
        pool_bottleneck=True,
        residual_entry=False,
        encoder_attention=(False, True, True, True),
        decoder_attention=(True, True, True, False),
        encoder_strides=(16, 8, 4, 1),
        decoder_strides=(1, 4, 8, 16),
        ffn_ratio=2.0,
        dropout=0.0,
    ),
}
