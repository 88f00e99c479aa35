"""Training with simulated corrections, so that a model knows second and third strokes.

The paper leaves feedback loops as future work (section 3.5). We follow the iterative training of
Sofiiuk et al. (arXiv:2102.06583, section 3): the network answers without gradients, a simulated
user corrects the answer, and the loss is taken after some number of such rounds.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from attnseg.mask_refine.correction_strokes import next_correction
from attnseg.mask_refine.encoding import pad_to
from attnseg.mask_refine.model import MaskRefinementModel
from attnseg.registry import MODELS


@MODELS.register_module()
class InteractiveRefinementModel(MaskRefinementModel):
    """A refinement model that learns to follow corrections.

    A share of the batches has first strokes alone; in each of the others the number of rounds is
    drawn evenly from 1 to ``max_rounds``, and each round adds one stroke to each sample that still
    has an error. The mask that goes in is then the last
    answer with all strokes painted into it. Validation and prediction are those of
    :class:`MaskRefinementModel`.

    Args:
        max_rounds: greatest number of corrections before the loss is taken; 0 trains on first
            strokes alone.
        first_share: share of the batches without corrections: more of them keep a model better at
            first strokes.
        **kwargs: see :class:`MaskRefinementModel`. The preprocessor's channels should have
            ``add`` and ``remove``, or the network sees strokes as part of the mask alone.

    Raises:
        ValueError: for less than no rounds, or a share outside of 0 to 1.
    """

    def __init__(self, *, max_rounds: int = 3, first_share: float = 0.25, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if max_rounds < 0:
            raise ValueError(f"max_rounds must be 0 or more, got {max_rounds}.")
        if not 0 <= first_share <= 1:
            raise ValueError(f"first_share must be from 0 to 1, got {first_share}.")
        self.max_rounds = max_rounds
        self.first_share = first_share

    def loss(self, inputs: dict[str, Tensor], samples: list[BaseDataElement]) -> dict[str, Tensor]:
        """Compute each loss, a scalar by its name, after a random number of corrections."""
        self.check_targets(samples)
        corrects = self.max_rounds > 0 and float(torch.rand(())) >= self.first_share
        rounds = int(torch.randint(1, self.max_rounds + 1, ())) if corrects else 0
        return super().loss(self.corrected(inputs, samples, rounds), samples)

    @torch.no_grad()
    def corrected(
        self, inputs: dict[str, Tensor], samples: list[BaseDataElement], rounds: int
    ) -> dict[str, Tensor]:
        """Inputs after some rounds of answers and corrections."""
        features, valid = inputs["features"], inputs["valid"]
        size = (features.shape[-2], features.shape[-1])
        truth = torch.stack([pad_to(sample.target[None], size) for sample in samples])
        add, remove = (
            torch.stack([_strokes(sample, name, size) for sample in samples]).to(valid)
            for name in ("add", "remove")
        )
        # The seed comes from torch, so that one seed fixes the whole training.
        rng = np.random.default_rng(int(torch.randint(2**31, ())))
        training = self.network.training
        self.network.eval()
        for _ in range(rounds):
            with self._training_precision(features.device.type):
                logits = self.network(features)
            answer = self._painted(logits > self.threshold, add, remove)
            for i, own in enumerate(zip(answer, truth, valid, strict=True)):
                found = next_correction(*(mask[0].cpu().numpy() for mask in own), rng=rng)
                if found is not None:
                    stroke = torch.from_numpy(found.stroke).to(valid.device)
                    kept, undone = (add, remove) if found.adds else (remove, add)
                    kept[i, 0] |= stroke
                    undone[i, 0] &= ~stroke
            answer = self._painted(answer, add, remove)
            features = self.data_preprocessor.replace_masks(
                features, answer, add, remove, valid, inputs["reach"]
            )
        self.network.train(training)
        return {**inputs, "features": features}

    def _training_precision(self, device_type: str) -> AbstractContextManager[Any]:
        """That of a network with a ``training_dtype``, which it leaves itself in evaluation."""
        dtype = getattr(self.network, "training_dtype", None)
        return torch.autocast(device_type, dtype) if dtype else nullcontext()

    @staticmethod
    def _painted(mask: Tensor, add: Tensor, remove: Tensor) -> Tensor:
        return (mask | add) & ~remove


def _strokes(sample: BaseDataElement, name: str, size: tuple[int, int]) -> Tensor:
    stroke = sample.get(name) if name in sample else torch.zeros_like(sample.coarse)
    return pad_to(stroke[None], size)
