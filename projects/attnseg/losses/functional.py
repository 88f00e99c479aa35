"""Losses as pure functions of tensors."""

import torch
from torch import Tensor

from attnseg.layers.precision import without_autocast
from attnseg.losses.logsumexp import pairwise_logsumexp


def instance_contrastive(
    embedding: Tensor,
    instance: Tensor,
    temperature: float = 0.1,
    block_size: int | None = None,
) -> Tensor:
    r"""Compute the instance contrastive loss of MaskAttn-UNet (Eq. 4 to 6) over all pixels.

    With P_i the other pixels of pixel i's instance and N_i the pixels of all other instances,

    .. math::
        D_i = \sum_{j \in P_i \cup N_i} \exp(e_i \cdot e_j / \tau), \qquad
        L = \frac{1}{|A|} \sum_{i \in A} \Big(\log D_i
            - \frac{1}{|P_i|} \sum_{k \in P_i} e_i \cdot e_k / \tau \Big).

    The paper divides by "the total number of pixels considered"; a pixel that is alone in its
    instance has no term in Eq. 6, so the anchors A are the pixels with a partner. Pixels without
    one still are negatives of all others. Memory is linear in N: the positives come from the sum
    of each instance, the normaliser from :func:`pairwise_logsumexp`.

    Args:
        embedding: Embeddings e (N, D) of the labelled pixels of one image, any scale. Half
            precision is computed in float32, float64 stays.
        instance: Instance ids (N,), any integers.
        temperature: tau, above 0.
        block_size: Rows of one tile of the pairwise products, see :func:`pairwise_logsumexp`.

    Returns:
        Scalar, float32 or float64. Zero, and connected to ``embedding``, if no pixel has a
        partner.

    Raises:
        ValueError: If shapes do not match or the temperature is not positive.
        TypeError: If the ids or the embedding have the wrong kind of number.
    """
    _check(embedding, instance, temperature)
    if embedding.dtype not in (torch.float32, torch.float64):
        embedding = embedding.float()
    with without_autocast(embedding):
        _, group, counts = torch.unique(instance, return_inverse=True, return_counts=True)
        partners = counts[group] - 1
        anchors = partners > 0
        n_anchors = int(anchors.sum())
        if n_anchors == 0:
            return (embedding * 0).sum()
        x = embedding * temperature**-0.5
        sums = x.new_zeros(counts.shape[0], x.shape[1]).index_add(0, group, x)
        attraction = (x * (sums[group] - x)).sum(1) / partners.clamp(min=1)
        terms = pairwise_logsumexp(x, block_size) - attraction
        return torch.where(anchors, terms, 0).sum() / n_anchors


def _check(embedding: Tensor, instance: Tensor, temperature: float) -> None:
    if embedding.ndim != 2 or instance.shape != embedding.shape[:1]:
        raise ValueError(
            "instance_contrastive expects embeddings (N, D) and instance ids (N,), got "
            f"{tuple(embedding.shape)} and {tuple(instance.shape)}"
        )
    if not embedding.is_floating_point():
        raise TypeError(f"embeddings must be floating point, got {embedding.dtype}")
    if instance.is_floating_point() or instance.dtype == torch.bool:
        raise TypeError(f"instance ids must be integers, got {instance.dtype}")
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
