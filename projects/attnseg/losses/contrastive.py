"""Instance contrastive loss as a module for segmentation heads."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnseg.losses.functional import instance_contrastive
from attnseg.registry import MODELS

_SAMPLING = {"pixels_per_instance": 32, "max_instances": 64}


@MODELS.register_module()
class InstanceContrastiveLoss(nn.Module):
    """Instance contrastive loss of MaskAttn-UNet, Eq. 4 to 6, per image.

    Pixels of one instance attract each other, all other considered pixels of the same image repel;
    instances of different images never meet. The batch value is the mean over the images in which
    at least one instance has two pixels; it is zero, with a gradient of zero, if there is none.

    Paper and published code differ, and this class follows the paper. The code uses no InfoNCE but
    one margin triplet for each instance id (two neighbouring pixels and one random pixel), reads
    it at wrong places (batch index taken as row, row as column), lets ids of different images
    collide, and applies it to class logits in its panoptic scripts.

    ``sampling`` chooses the estimator. None is the exact loss over all considered pixels. A dict
    draws up to ``max_instances`` instances of an image and up to ``pixels_per_instance`` pixels of
    each, uniformly and without replacement from torch's generator, and evaluates Eq. 4 to 6 on
    the sample alone (the "sampled subset" the paper permits). Compared with the exact loss it
    weighs instances alike instead of by area, and its value is lower, since D has fewer terms
    (by about the logarithm of the fraction drawn); values of the two are not comparable.

    In a foreign mmseg head, list it in ``loss_decode``: the label map then plays the instance map,
    and ``normalize=True`` brings the head's logits to unit length::

        loss_decode=[
            dict(type='CrossEntropyLoss'),
            dict(type='attnseg.InstanceContrastiveLoss', normalize=True,
                 sampling=dict(pixels_per_instance=32, max_instances=64)),
        ]

    Args:
        temperature: tau of Eq. 4, above 0; the paper does not give its value.
        loss_weight: lambda of Eq. 7.
        sampling: None, or a dict with ``pixels_per_instance`` (at least 2; default 32) and
            ``max_instances`` (at least 1; default 64).
        block_size: Rows of one tile of the pairwise products; chosen by device if not given.
        normalize: Whether embeddings are brought to unit length here.
        loss_name: Key in the loss dict of a head; has to start with ``loss_`` to be optimised.

    Raises:
        ValueError: If an argument is out of its range or ``sampling`` has an unknown key.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        loss_weight: float = 0.5,
        sampling: dict[str, int] | None = None,
        block_size: int | None = None,
        normalize: bool = False,
        loss_name: str = "loss_instance_contrastive",
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        self.temperature = temperature
        self.loss_weight = loss_weight
        self.sampling = None if sampling is None else _check_sampling(sampling)
        self.block_size = block_size
        self.normalize = normalize
        self.loss_name = loss_name

    def forward(
        self,
        embedding: Tensor,
        instance_map: Tensor,
        weight: Tensor | None = None,
        ignore_index: int | None = None,
    ) -> Tensor:
        """Compute the weighted loss of a batch.

        Args:
            embedding: Embeddings (B, D, H, W), or (B, D, P) of sampled points.
            instance_map: Integer ids (B, H, W) or (B, P), numbered within each image. Pixels below
                zero (void, stuff, ignored) are not considered.
            weight: Zeros and ones in the shape of ``instance_map``, as mmseg's samplers give them;
                pixels of weight 0 are not considered.
            ignore_index: Another id that is not considered; mmseg's heads pass 255.

        Returns:
            Scalar, at least float32.

        Raises:
            ValueError: If shapes do not match, or a weight is neither 0 nor 1.
        """
        shape = (embedding.shape[0], *embedding.shape[2:])
        if embedding.ndim < 3 or instance_map.shape != shape:
            raise ValueError(
                f"InstanceContrastiveLoss: embeddings {tuple(embedding.shape)} need an instance "
                f"map {shape}, got {tuple(instance_map.shape)}; resize one of them first"
            )
        considered = instance_map >= 0
        if ignore_index is not None:
            considered &= instance_map != ignore_index
        if weight is not None:
            considered &= _binary(weight, shape)

        losses = []
        for features, ids, keep in zip(embedding, instance_map, considered, strict=True):
            ids = ids[keep]
            chosen = self._choose(ids)
            if chosen is None:
                continue
            vectors = features.flatten(1).T[keep.flatten()][chosen]
            if self.normalize:
                vectors = F.normalize(vectors.float(), dim=1)
            losses.append(
                instance_contrastive(vectors, ids[chosen], self.temperature, self.block_size)
            )
        if not losses:
            return (embedding * 0).sum(dtype=torch.promote_types(embedding.dtype, torch.float32))
        return self.loss_weight * torch.stack(losses).mean()

    def extra_repr(self) -> str:
        """Show the settings when a model is printed."""
        return (
            f"temperature={self.temperature}, loss_weight={self.loss_weight}, "
            f"sampling={self.sampling}, normalize={self.normalize}"
        )

    def _choose(self, ids: Tensor) -> Tensor | None:
        """Indices of the pixels that enter the loss; None if no instance has two pixels."""
        _, group, counts = torch.unique(ids, return_inverse=True, return_counts=True)
        if not (counts > 1).any():
            return None
        if self.sampling is None:
            return torch.arange(len(ids), device=ids.device)
        return sample_pixels(group, counts, **self.sampling)


def sample_pixels(
    group: Tensor, counts: Tensor, pixels_per_instance: int, max_instances: int
) -> Tensor:
    """Draw pixels of instances, uniformly and without replacement.

    Instances of a single pixel are drawn only after all others, so that a sample always has
    positives where the image has some.

    Args:
        group: Instance number (N,) of each pixel, 0 to K-1.
        counts: Pixels (K,) of each instance.
        pixels_per_instance: The most pixels of one instance.
        max_instances: The most instances.

    Returns:
        Indices into ``group``, grouped by instance.
    """
    device = group.device
    shuffled = torch.randperm(len(group), device=device)
    # A stable sort of shuffled pixels by instance keeps them shuffled within each instance.
    order = shuffled[torch.argsort(group[shuffled], stable=True)]
    rank = torch.arange(len(group), device=device) - (counts.cumsum(0) - counts)[group[order]]
    lottery = torch.rand(len(counts), device=device) + (counts == 1)
    drawn = torch.zeros(len(counts), dtype=torch.bool, device=device)
    drawn[torch.argsort(lottery)[:max_instances]] = True
    return order[(rank < pixels_per_instance) & drawn[group[order]]]


def _check_sampling(sampling: dict[str, Any]) -> dict[str, int]:
    unknown = sorted(set(sampling) - set(_SAMPLING))
    if unknown:
        raise ValueError(f"sampling has unknown keys {unknown}; it knows {sorted(_SAMPLING)}")
    merged = {**_SAMPLING, **sampling}
    if merged["pixels_per_instance"] < 2 or merged["max_instances"] < 1:
        raise ValueError(
            "sampling needs pixels_per_instance >= 2 (a pixel and its partner) and "
            f"max_instances >= 1, got {merged}"
        )
    return merged


def _binary(weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    kept = weight != 0
    if weight.shape != shape or not (weight[kept] == 1).all():
        raise ValueError(
            f"InstanceContrastiveLoss: weight must hold zeros and ones in shape {shape} (it says "
            f"which pixels are considered), got shape {tuple(weight.shape)}"
        )
    return kept
