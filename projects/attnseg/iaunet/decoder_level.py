"""One level of IAUNet: pixel decoder, guided queries, dual-path layers, predictions."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from attnseg.iaunet.dual_path import DualPathLayer
from attnseg.iaunet.instance_activation import InstanceActivation
from attnseg.iaunet.pixel_decoder import LevelFeatures, PixelDecoderLevel
from attnseg.iaunet.structures import MaskPrediction
from attnseg.layers import sine_positions, to_map, to_tokens


class LevelMaps(NamedTuple):
    """What a level looked at, to be drawn.

    Attributes:
        activation: (B, N, h, w), activation maps of the guided queries, each with sum 1.
        attention: (B, M, h, w), cross-attention of the last layer's queries (guided, then
            support), mean over heads, each with sum 1.
    """

    activation: Tensor
    attention: Tensor


class DecoderLevel(nn.Module):
    """Main, mask and instance features and N queries from the encoder's map and the level below.

    Guided queries of the Instance Activation layer and the queries of the level below (support)
    make 2N queries; the guided half is the output, behind Linear and ReLU. (The published code
    has one more LayerNorm there, straight behind that of the feed-forward.)

    Args:
        pixels: makes the features.
        channels: D of mask and instance features and of queries.
        num_queries: N.
        layers: dual-path layers, applied in order.

    Source:
        Sec. 6 and Fig. 2.
    """

    def __init__(
        self,
        pixels: PixelDecoderLevel,
        channels: int,
        num_queries: int,
        layers: list[DualPathLayer],
    ) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.pixels = pixels
        self.activation = InstanceActivation(channels, num_queries)
        self.layers = nn.ModuleList(layers)
        self.output = nn.Linear(channels, channels)

    def forward(
        self,
        skip: Tensor,
        below: LevelFeatures | None,
        support: Tensor | None,
        query_pos: Tensor,
        trace: list[LevelMaps] | None = None,
    ) -> tuple[LevelFeatures, Tensor]:
        """Run the level.

        Args:
            skip: encoder's map (B, C, H, W).
            below: features of the level below, None at the coarsest.
            support: its queries (B, N, D).
            query_pos: positions of guided and support queries (1, 2N, D).
            trace: where maps for drawing are appended; without it they are not computed.

        Returns:
            Features and queries (B, N, D) of this level.
        """
        main, mask, instance = self.pixels(skip, below)
        queries = self.activation(instance)
        if support is None:
            query_pos = query_pos[:, : self.num_queries]
        else:
            queries = torch.cat([queries, support], 1)
        size = (mask.shape[2], mask.shape[3])
        activation = self.activation.maps(instance) if trace is not None else None
        mask, instance = to_tokens(mask), to_tokens(instance)
        pixel_pos = sine_positions(size, mask.shape[2], mask)
        seen = queries
        for layer in self.layers:
            seen = queries
            queries, mask, instance = layer(queries, query_pos, mask, instance, pixel_pos)
        if trace is not None:
            looked = self.layers[-1].attention_maps(seen, query_pos, instance, pixel_pos)
            trace.append(LevelMaps(activation, looked.unflatten(2, size)))
        features = LevelFeatures(main, to_map(mask, size), to_map(instance, size))
        return features, relu(self.output(queries[:, : self.num_queries]))


class MaskPredictor(nn.Module):
    """Class logits and masks of queries: mask = kernel(query) . projected mask features.

    Args:
        channels: D.
        num_classes: K, without "no object".

    Source:
        Sec. 3; the published code. That code starts all class biases at -log 99, "no object"
        included, which the softmax cancels; torch's initial values stay here.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.classify = nn.Linear(channels, num_classes + 1)
        self.kernel = nn.Linear(channels, channels)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, queries: Tensor, mask_features: Tensor) -> MaskPrediction:
        """Predict from queries (B, N, D) and mask features (B, D, h, w)."""
        features = self.project(mask_features)
        logits = self.kernel(queries) @ features.flatten(2)
        size = (features.shape[2], features.shape[3])
        return MaskPrediction(self.classify(queries), logits.unflatten(2, size))
