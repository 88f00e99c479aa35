import pytest
import torch

from attnseg.maskattn_unet.tta import PixelTTAModel
from tests.maskattn_unet.factory import sample, segmentor


def views(image: torch.Tensor, flips: list[str | None]) -> dict:
    samples, inputs = [], []
    for direction in flips:
        data = sample((32, 48), 2, (64, 96))
        data.set_metainfo({"flip": direction is not None, "flip_direction": direction})
        del data.gt_instances
        axis = {"horizontal": 2, "vertical": 1, None: None}[direction]
        inputs.append([image if axis is None else image.flip(axis)])
        samples.append([data])
    return {"inputs": inputs, "data_samples": samples}


@pytest.mark.parametrize("direction", ["horizontal", "vertical"])
def test_a_flipped_view_is_turned_back(direction: str) -> None:
    """With a network that knows nothing but pixels, both views say the same."""
    model = segmentor().eval()
    model.head.with_coords = False
    model.head.embed[0] = torch.nn.Conv2d(24, 64, 1, bias=False)
    model.backbone = PixelBackbone()
    image = torch.rand(3, 32, 48)
    tta = PixelTTAModel(model)
    with torch.no_grad():
        (plain,) = tta.test_step(views(image, [None]))
        (both,) = tta.test_step(views(image, [None, direction]))
    assert torch.equal(plain.pred_sem_seg.sem_seg, both.pred_sem_seg.sem_seg)
    assert both.pred_sem_seg.sem_seg.shape == (1, 64, 96)


class PixelBackbone(torch.nn.Module):
    """Eight copies of the image: no neighbourhood, no position."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (x.repeat(1, 8, 1, 1),)


def test_one_view_gives_what_the_model_gives() -> None:
    model = segmentor(stuff_area=1).eval()
    image = torch.rand(3, 32, 48)
    with torch.no_grad():
        (merged,) = PixelTTAModel(model).test_step(views(image, [None]))
        (plain,) = model(image[None], [sample((32, 48), 2, (64, 96))], mode="predict")
    same = merged.pred_sem_seg.sem_seg == plain.pred_sem_seg.sem_seg
    # Probabilities are enlarged instead of logits, so borders may move by a pixel.
    assert same.float().mean() > 0.97
