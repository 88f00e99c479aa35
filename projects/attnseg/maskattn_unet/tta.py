"""Test-time augmentation for pixel embeddings."""

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample, SampleList
from mmengine.model import BaseTTAModel
from torch import Tensor

from attnseg.registry import MODELS

_FLIP_AXES = {"horizontal": (-1,), "vertical": (-2,), "diagonal": (-2, -1)}


def _undo(maps: Tensor, sample: DetDataSample) -> Tensor:
    """Remove the padding of maps (C, H, W) and the flip."""
    height, width = sample.img_shape[:2]
    maps = maps[:, :height, :width]
    return maps.flip(_FLIP_AXES[sample.flip_direction]) if sample.get("flip") else maps


@MODELS.register_module()
class PixelTTAModel(BaseTTAModel):
    """Merges flipped and rescaled views of a :class:`PixelSegmentor` before grouping.

    Class probabilities are averaged. Embeddings are put one after another and divided by the
    root of their number: a cosine of the merged embeddings is the mean of the views' cosines,
    so views need not share a frame. mmdet's DetTTAModel, which merges boxes by a compiled
    operator and has no masks, is not needed.

    The pipeline's pack step must keep ``flip`` and ``flip_direction`` among its meta keys.
    """

    def test_step(self, data: dict) -> SampleList:
        """Predictions for a batch whose entries are lists over views."""
        views = zip(data["inputs"], data["data_samples"], strict=True)
        outputs = []
        for inputs, samples in views:
            batch = self.module.data_preprocessor(
                {"inputs": inputs, "data_samples": samples}, False
            )
            logits, embedding = self.module(batch["inputs"], mode="tensor")
            outputs.append((logits.float().softmax(1), embedding, batch["data_samples"]))
        return [self._merge(outputs, i) for i in range(len(outputs[0][2]))]

    def _merge(self, outputs: list[tuple[Tensor, Tensor, SampleList]], i: int) -> DetDataSample:
        sample = outputs[0][2][i]
        size = tuple(sample.img_shape[:2])

        def align(maps: Tensor, view: DetDataSample) -> Tensor:
            maps = _undo(maps, view)[None]
            return F.interpolate(maps, size, mode="bilinear", align_corners=False)[0]

        probability = torch.stack([align(p[i], s[i]) for p, _, s in outputs]).mean(0)
        embeddings = [F.normalize(align(e[i], s[i]), dim=0) for _, e, s in outputs]
        merged = torch.cat(embeddings) / len(embeddings) ** 0.5
        self.module.add_prediction(
            sample, probability.clamp_min(1e-8).log(), merged, tuple(sample.ori_shape[:2])
        )
        return sample

    def merge_preds(self, data_samples_list: list[SampleList]) -> SampleList:
        """Merging happens on the maps in :meth:`test_step`; finished predictions carry none.

        Raises:
            TypeError: always, because instances of different views cannot be averaged.
        """
        raise TypeError("PixelTTAModel merges maps, not predictions: call test_step")
