"""PointRend on batches without objects."""

from mmdet.models import roi_heads
from torch import Tensor

from attnseg.registry import MODELS


@MODELS.register_module()
class PointRendRoIHead(roi_heads.PointRendRoIHead):
    """mmdet's, which also trains on a batch, or the share of a rank, without any object.

    mmdet's stops there with an assertion, while images of microscopes may well be empty.
    Everything else is mmdet's.
    """

    def _mask_point_loss(
        self, x: tuple[Tensor, ...], sampling_results: list, mask_preds: Tensor, *args, **kwargs
    ) -> dict[str, Tensor]:
        if len(mask_preds):
            return super()._mask_point_loss(x, sampling_results, mask_preds, *args, **kwargs)
        # Ranks of DDP wait for the gradient of every parameter, also of those without work.
        unused = (*self.mask_head.parameters(), *self.point_head.parameters())
        return {"loss_point": sum((parameter * 0).sum() for parameter in unused)}
