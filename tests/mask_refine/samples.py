"""Packed samples of refinement, as the data sets give them."""

import torch
from mmengine.structures import BaseDataElement

Size = tuple[int, int]


def packed(
    sizes: list[Size], box: tuple[int, int, int, int] | None = None, ori: Size | None = None
) -> dict:
    """A batch of random images, each with a rectangle as its target and a shifted coarse mask."""
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for i, (height, width) in enumerate(sizes):
        inputs.append(
            torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
        )
        sample = BaseDataElement(
            metainfo={
                "img_id": i,
                "ann_id": i,
                "img_path": f"image_{i}.jpg",
                "ori_shape": ori or (height, width),
                "img_shape": (height, width),
                "crop_box": box,
            }
        )
        sample.target = torch.zeros(height, width, dtype=torch.bool)
        sample.target[height // 4 : height // 2 + 1, width // 4 : width // 2 + 1] = True
        sample.coarse = sample.target.roll(1, 1)
        samples.append(sample)
    return {"inputs": inputs, "data_samples": samples}
