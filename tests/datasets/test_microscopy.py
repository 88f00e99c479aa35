"""From TIFF files to the maps of a backbone, by the configs of the documentation."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from mmcv.transforms import Compose
from mmdet.registry import DATASETS, MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

from attnseg.apis.experiment import build_config
from attnseg.apis.inferencer import DetInferencer
from tests.datasets.objects import box_object
from tests.datasets.test_scale_jitter import sample

PAGE = Path(__file__).parents[2] / "docs" / "microscopy.md"
CONFIGS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
SIZE = (75, 101)
BOXES = ([5, 9, 20, 14], [40, 30, 33, 21])


def write_set(folder, channels, axes=None):
    """Two 16-bit images, the second without objects; objects are bright in every channel."""
    for name in ("images/train", "images/val", "annotations", "weights"):
        (folder / name).mkdir(parents=True)
    images = []
    rng = np.random.default_rng(0)
    for number, name in enumerate(("a.tif", "b.tif")):
        pixels = rng.integers(300, 400, (channels, *SIZE))
        for x, y, w, h in BOXES if number == 0 else ():
            pixels[:, y : y + h, x : x + w] += 3000
        pixels[1:] *= 10  # channels of very different gain
        stored = pixels[0] if channels == 1 else pixels
        kwargs = {"imagej": True, "metadata": {"axes": axes}} if axes else {}
        if axes and "Z" in axes:
            stored = np.stack([stored, stored // 2])
        stored = stored.astype(np.uint16)
        for split in ("train", "val"):
            path = folder / "images" / split / name
            tifffile.imwrite(path, stored, photometric="minisblack", **kwargs)
        size = {"height": SIZE[0], "width": SIZE[1]}
        images.append({"id": number, "file_name": name, **size})
    objects = [box_object(i + 1, 0, 1, box) for i, box in enumerate(BOXES)]
    categories = [{"id": 1, "name": "cell"}]
    content = {"images": images, "annotations": objects, "categories": categories}
    for split in ("train", "val"):
        (folder / f"annotations/instances_{split}.json").write_text(json.dumps(content))


def documented(number: int, folder: Path) -> Config:
    """The config as a user pastes it, and with steps of one size that is small enough."""
    text = CONFIGS[number].replace("attnseg::", f"{(PAGE.parents[1] / 'configs').as_posix()}/")
    (folder / "mine.py").write_text(text)
    if "resnet50" in text:
        weights = MODELS.build({"type": "ResNet", "depth": 50}).state_dict()
        torch.save(weights, folder / "weights/resnet50.pth")
    cfg = build_config(folder / "mine.py", data=folder)
    for split, key in (("train", "size"), ("val", "scale"), ("test", "scale")):
        for step in cfg[f"{split}_dataloader"].dataset.pipeline:
            if step.get(key):
                step[key] = (96, 128) if split == "train" else (128, 96)
            if split == "train" and "ratio_range" in step:
                step.update(ratio_range=(1.0, 1.0))
    return cfg


def batch_of(cfg: Config, split: str) -> dict:
    dataset = DATASETS.build(cfg[f"{split}_dataloader"].dataset)
    return pseudo_collate([dataset[0], dataset[1]])


@pytest.mark.parametrize(
    ("config", "channels", "axes"),
    [(0, 1, None), (1, 2, "CYX"), (1, 2, "ZCYX"), (1, 5, "CYX"), (2, 2, None), (2, 1, None)],
)
def test_configs_of_the_documentation(tmp_path, monkeypatch, config, channels, axes):
    monkeypatch.chdir(tmp_path)
    init_default_scope("mmdet")
    write_set(tmp_path, channels, axes)
    cfg = documented(config, tmp_path)
    model = MODELS.build(cfg.model)
    model.init_weights()
    data = model.data_preprocessor(batch_of(cfg, "train"), training=True)
    inputs, samples = data["inputs"], data["data_samples"]
    wanted = cfg.model.backbone.get("in_channels", 3)
    assert inputs.dtype == torch.float32 and inputs.shape[:2] == (2, wanted)
    masks = samples[0].gt_instances.masks
    assert masks.masks.shape[1:] == inputs.shape[2:]
    assert len(samples[1].gt_instances) == 0
    # Objects are bright in each channel of the file, whatever its gain.
    inside = torch.from_numpy(masks.masks.any(0))
    height, width = samples[0].img_shape[:2]
    outside = ~inside[:height, :width]
    # The channel of zeros is the last of the loaded three, and the first behind bgr_to_rgb.
    first = 1 if config == 2 and channels == 2 else 0
    for channel in inputs[0, first:]:
        bright = channel[inside].mean() - channel[:height, :width][outside].mean()
        assert bright > channel[:height, :width].std()
    maps = model.backbone(inputs)
    assert len(maps) == 4 and all(one.isfinite().all() for one in maps)
    # Tests read the same values as trainings do, and so does inference.
    test = batch_of(cfg, "test")
    assert test["inputs"][0].shape[0] == wanted
    torch.save({"state_dict": model.state_dict()}, "weights/mine.pth")
    infer = DetInferencer(cfg, "weights/mine.pth", device="cpu", show_progress=False)
    packed = infer.pipeline("images/val/a.tif")["inputs"]
    assert torch.equal(packed, test["inputs"][0])
    train = batch_of(cfg, "train")["inputs"][0]
    assert abs(float(train.max()) - float(packed.max())) < 0.2 * float(packed.max())
    assert infer(["images/val/a.tif"], return_datasamples=True)["predictions"]


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize(
    "steps",
    [
        [{"type": "RandomFlip", "prob": 1.0, "direction": "horizontal"}],
        [{"type": "RandomFlip", "prob": 1.0, "direction": "diagonal"}],
        [{"type": "Resize", "scale": (83, 64), "keep_ratio": False}],
        [{"type": "RandomCrop", "crop_size": (30, 30), "allow_negative_crop": True}],
        [
            {"type": "RandomFlip", "prob": 0.5},
            {"type": "attnseg.ScaleJitter", "size": (48, 64), "ratio_range": (0.8, 1.5)},
        ],
    ],
)
def test_augmentations_keep_image_and_masks_together(channels, steps):
    np.random.seed(0)
    gains = np.arange(1, channels + 1, dtype=np.float32)
    start = sample()
    start["img"] = (start["gt_seg_map"] < 4)[..., None] * gains - 0.5 * gains
    for step in steps:
        if step["type"] in ("Resize", "attnseg.ScaleJitter"):
            step = {**step, "interpolation": "nearest"}
        start = TRANSFORMS.build(step)(start)
    found = Compose([TRANSFORMS.build({"type": "PackDetInputs"})])(start)
    masks = found["data_samples"].gt_instances.masks
    image = found["inputs"].numpy()
    assert image.dtype == np.float32 and image.shape == (channels, *masks.masks.shape[1:])
    height, width = start["img_shape"][:2]
    for channel, gain in zip(image[:, :height, :width], gains, strict=True):
        inside = masks.masks.any(0)[:height, :width]
        np.testing.assert_array_equal(channel, inside * gain - gain / 2)
