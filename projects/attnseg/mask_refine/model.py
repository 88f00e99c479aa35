"""The model around a refinement network: losses, prediction, and the way back to the image."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor

from attnseg.errors import InputError
from attnseg.mask_refine.encoding import pad_to
from attnseg.mask_refine.paste import box_of, paste_logits
from attnseg.registry import MODELS

_TEST_CFG = {"logits": False, "loss": False, "obey_strokes": True}


@MODELS.register_module()
class MaskRefinementModel(BaseModel):
    """Train a network on coarse masks and predict exact ones at the image's own size.

    The published code predicts where the logit is above 0.5, a probability of 0.62, in its
    validation, and where the probability is above 0.4 or 0.5 in its figures; the paper is silent.
    Here it is the logit above 0, and ``threshold=0.5`` is the published validation.

    Args:
        network: config of a module that maps features (B, C, h, w) to logits (B, 1, h, w).
        losses: configs of the losses; each is logged under its ``loss_name``.
        data_preprocessor: config; :class:`RefinementPreprocessor` if None.
        threshold: of the logit, exclusive.
        test_cfg: ``logits=True`` adds ``pred_logits``, float (h, w) at the network's size;
            ``loss=True`` makes validation log its loss as ``val_loss``: where all samples have a
            ``target``, one more element with ``loss`` alone ends the prediction, which mmengine's
            loops take away again;
            ``obey_strokes=False`` leaves what is under the user's strokes to the network.
        init_cfg: see mmengine's BaseModule.

    Raises:
        ValueError: for an unknown key of ``test_cfg`` or losses of one name.
        InputError: (when called) for samples without ``target`` where a loss is to be computed.
    """

    def __init__(
        self,
        network: dict,
        losses: Sequence[dict] = (),
        data_preprocessor: dict | None = None,
        threshold: float = 0.0,
        test_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        preprocessor = data_preprocessor or {"type": "attnseg.RefinementPreprocessor"}
        super().__init__(preprocessor, init_cfg)
        unknown = sorted(set(test_cfg or {}) - set(_TEST_CFG))
        if unknown:
            raise ValueError(f"test_cfg has unknown keys {unknown}; known are {list(_TEST_CFG)}")
        self.network = MODELS.build(network)
        self.losses = torch.nn.ModuleList(MODELS.build(loss) for loss in losses)
        names = [loss.loss_name for loss in self.losses]
        if len(set(names)) != len(names):
            raise ValueError(f"each loss needs a loss_name of its own, got {names}")
        self.threshold = threshold
        self.test_cfg = {**_TEST_CFG, **(test_cfg or {})}

    def forward(
        self,
        inputs: dict[str, Tensor],
        data_samples: list[BaseDataElement] | None = None,
        mode: str = "tensor",
    ) -> dict[str, Tensor] | list[BaseDataElement] | Tensor:
        """Compute what ``mode`` says.

        Args:
            inputs: ``features`` (B, C, h, w) and ``valid`` (B, 1, h, w) of the preprocessor.
            data_samples: one for each element of the batch; not needed for ``tensor``.
            mode: ``loss``, ``predict`` or ``tensor``.

        Returns:
            The losses by name; the samples with their predictions; or logits (B, 1, h, w).

        Raises:
            ValueError: for another mode.
        """
        if mode == "loss":
            return self.loss(inputs, data_samples or [])
        if mode == "predict":
            return self.predict(inputs, data_samples or [])
        if mode == "tensor":
            return self.network(inputs["features"])
        raise ValueError(f"mode '{mode}' is unknown; choose 'loss', 'predict' or 'tensor'")

    def loss(self, inputs: dict[str, Tensor], samples: list[BaseDataElement]) -> dict[str, Tensor]:
        """Compute each loss, a scalar by its name."""
        logits = self.network(inputs["features"])
        return self.losses_of(logits, inputs["valid"], samples)

    def losses_of(
        self, logits: Tensor, valid: Tensor, samples: list[BaseDataElement]
    ) -> dict[str, Tensor]:
        """Compute each loss of logits (B, 1, h, w) against the samples' ``target``."""
        self.check_targets(samples)
        size = (logits.shape[-2], logits.shape[-1])
        target = torch.stack([pad_to(s.target[None].float(), size) for s in samples])
        return {loss.loss_name: loss(logits, target, valid) for loss in self.losses}

    @staticmethod
    def check_targets(samples: list[BaseDataElement]) -> None:
        """Raise an InputError that names the first sample without ``target``."""
        for sample in samples:
            if "target" not in sample:
                raise InputError(
                    f"the sample of '{sample.get('img_path', sample.get('img_id', ''))}' has no "
                    "target; put LoadObjectMask before PackRefinement"
                )

    def predict(
        self, inputs: dict[str, Tensor], samples: list[BaseDataElement]
    ) -> list[BaseDataElement]:
        """Set ``pred_mask``, bool (H, W) at the image's own size, on each sample.

        Logits are brought to the size of the crop before they are compared with the threshold;
        outside the crop the mask is False. Under ``add_mask`` (H, W) it becomes True, under
        ``remove_mask`` False.
        """
        logits = self.network(inputs["features"])
        for own, sample in zip(logits, samples, strict=True):
            self._predict_one(own[0], sample)
        if not self.test_cfg["loss"] or not all("target" in sample for sample in samples):
            return samples
        losses = self.losses_of(logits, inputs["valid"], samples)
        return [*samples, BaseDataElement(loss=losses)]

    def _predict_one(self, logits: Tensor, sample: BaseDataElement) -> None:
        height, width = sample.coarse.shape
        logits = logits[:height, :width]
        rows, cols = sample.get("ori_shape", (height, width))[:2]
        size = (int(rows), int(cols))
        box = box_of(sample, size)
        mask = paste_logits(logits, box, size, self.threshold)
        if self.test_cfg["obey_strokes"]:
            for name, value in (("add_mask", True), ("remove_mask", False)):
                if name in sample:
                    mask[sample.get(name)] = value
        sample.pred_mask = mask
        if self.test_cfg["logits"]:
            sample.pred_logits = logits.float()
