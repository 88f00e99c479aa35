"""Explanations of IAUNet's instances: the right queries, maps and windows, and their figure."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import tifffile
import torch
from mmcv.transforms import Compose
from mmdet.registry import TRANSFORMS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from PIL import Image

from attnseg.apis import activation_figure
from attnseg.apis.activation_figure import draw_explanation
from attnseg.apis.activations import (
    ExplainedInstance,
    Explanation,
    explain_image,
    inference_pipeline,
    query_numbers,
)
from attnseg.apis.experiment import UsageError, build_config
from attnseg.iaunet import IAUNet
from attnseg.iaunet.postprocess import PostprocessConfig, select
from attnseg.iaunet.structures import MaskPrediction
from attnseg.iaunet.windows import Window
from attnseg.registry import MODELS
from tests.iaunet.factory import detector

REPO = Path(__file__).resolve().parents[2]
LOOSE = {"score_thr": 0.0, "nms_iou": 1.0, "mask_thr": 0.4}
CONFIG = """
_base_ = "{configs}/iaunet/base_small.py"
model = dict(
    backbone=dict(widths=(4, 8, 8, 12)),
    head=dict(in_channels=[4, 8, 8, 12], channels=8, num_heads=2, num_queries=7),
    test_cfg=dict(score_thr=0.0, windows=dict(size=(32, 32), overlap=8)),
)
test_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale_factor=1.0, keep_ratio=True),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            dict(type="attnseg.CheckSample"),
            dict(type="PackDetInputs"),
        ]
    )
)
"""


def pipeline(channels: int = 3) -> Compose:
    register_all_modules(init_default_scope=False)
    steps = [{"type": "attnseg.LoadImage", "channels": channels}, {"type": "mmdet.PackDetInputs"}]
    return Compose([TRANSFORMS.build(step) for step in steps])


def model(test_cfg: dict | None = None, **more: int) -> IAUNet:
    return detector({**LOOSE, **(test_cfg or {})}, **more).eval()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "cells.png"
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    cv2.imwrite(str(path), pixels)
    return path


def test_instances_know_their_queries() -> None:
    generator = torch.Generator().manual_seed(0)
    class_logits = 2 * torch.randn(20, 3, generator=generator)
    masks = 3 * torch.randn(20, 9, 13, generator=generator)
    masks[7] = masks[4]
    cfg = PostprocessConfig(nms_iou=0.5)
    found = select(class_logits, masks, cfg)
    queries = query_numbers(found, MaskPrediction(class_logits, masks))
    assert len(queries) == len(found.labels) > 10
    probability = class_logits.softmax(-1)[queries, found.labels]
    probabilities = masks[queries].sigmoid()
    inside = probabilities > 0.5
    maskness = (probabilities * inside).sum((1, 2)) / inside.sum((1, 2))
    torch.testing.assert_close(probability * maskness, found.scores)


def test_instances_and_maps_are_those_of_the_model(image: Path) -> None:
    net = model()
    shown = explain_image(net, pipeline(), image)
    data = net.data_preprocessor(pseudo_collate([pipeline()({"img_path": str(image)})]), False)
    with torch.no_grad():
        (expected,) = net.predict(data["inputs"], data["data_samples"])
        _, levels = net.explain(data["inputs"])
    expected = expected.pred_instances
    assert shown.kept and shown.window is None and shown.picture.shape == (50, 70, 3)
    assert [one.label for one in shown.instances] == expected.labels.tolist()
    assert [one.score for one in shown.instances] == expected.scores.tolist()
    assert (np.stack([one.mask for one in shown.instances]) == expected.masks.numpy()).all()
    assert len(shown.activations) == 4
    for ours, level in zip(shown.activations, levels, strict=True):
        np.testing.assert_array_equal(ours, level.activation[0].numpy())
        np.testing.assert_allclose(ours.sum((1, 2)), 1, rtol=1e-5)
    # Of 2N queries, the first N are the guided ones, that instances come from.
    np.testing.assert_array_equal(shown.attention, levels[-1].attention[0, :7].numpy())


@pytest.mark.parametrize(("chosen", "corner"), [(None, (9, 19)), ((18, 3), (18, 3))])
def test_a_window_of_a_larger_image(
    image: Path, chosen: tuple[int, int] | None, corner: tuple[int, int]
) -> None:
    net = model({"windows": {"size": (32, 32), "overlap": 8}})
    shown = explain_image(net, pipeline(), image, chosen)
    top, left = corner
    assert shown.window == (top, left, 32, 32) and shown.whole_size == (50, 70)
    pixels = cv2.imread(str(image))[top : top + 32, left : left + 32]
    cv2.imwrite(str(image), pixels)
    alone = explain_image(net, pipeline(), image)
    assert alone.window is None
    assert [one.query for one in shown.instances] == [one.query for one in alone.instances]
    np.testing.assert_allclose(shown.activations[-1], alone.activations[-1], atol=1e-6)
    # Brightness is stretched by the whole image, which leaves these within a few values.
    assert np.abs(shown.picture.astype(int) - pixels[..., ::-1]).max() < 8


def test_an_image_smaller_than_the_window_is_padded_to_it(image: Path) -> None:
    cv2.imwrite(str(image), cv2.imread(str(image))[:11, :17])
    shown = explain_image(model({"windows": {"size": (32, 64), "overlap": 8}}), pipeline(), image)
    assert shown.window is None and shown.padded_size == (32, 64)
    assert shown.picture.shape == (11, 17, 3)
    assert shown.activations[-1].shape == (7, 16, 32)
    assert all(one.mask.shape == (11, 17) and one.mask.any() for one in shown.instances)


def test_a_window_has_to_lie_in_the_image(image: Path) -> None:
    net = model({"windows": {"size": (32, 32), "overlap": 8}})
    with pytest.raises(ValueError, match=r"top 19, left 0: .* top 0\.\.18, left 0\.\.38"):
        explain_image(net, pipeline(), image, (19, 0))
    with pytest.raises(ValueError, match="predicts whole images"):
        explain_image(model(), pipeline(), image, (0, 0))


def test_without_an_instance_the_strongest_queries_are_shown(image: Path) -> None:
    shown = explain_image(model({"score_thr": 0.99}), pipeline(), image, top=3)
    assert not shown.kept and len(shown.instances) == 3
    scores = [one.score for one in shown.instances]
    assert scores == sorted(scores, reverse=True) and scores[0] < 0.99
    assert len({one.query for one in shown.instances}) == 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 2])
def test_microscopy_files_are_shown(tmp_path: Path, dtype: type, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (channels, 41, 37)).astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack")
    net = model(image_channels=channels)
    shown = explain_image(net, pipeline(channels), path)
    assert shown.picture.shape == (41, 37, 3) and shown.picture.std() > 30
    magenta = (shown.picture[..., 0] == shown.picture[..., 2]).all()
    assert magenta and (shown.picture[..., 0] == shown.picture[..., 1]).all() == (channels == 1)


def test_pipeline_without_annotations() -> None:
    found = inference_pipeline(Config.fromfile(REPO / "configs/iaunet" / LEAF))
    assert [type(step).__name__ for step in found.transforms] == [
        "LoadImage",
        "Resize",
        "PackDetInputs",
    ]
    with pytest.raises(UsageError, match="no test_dataloader"):
        inference_pipeline(build_config("_base_/runtime/detection"))


LEAF = "iaunet_small_1xb4-1200i_dsb2018-instance-128x128.py"


def explanation(size: tuple[int, int], objects: int, kept: bool = True) -> Explanation:
    rng = np.random.default_rng(0)
    padded = tuple(-(-length // 32) * 32 for length in size)
    maps = [rng.random((5, padded[0] // s, padded[1] // s)) for s in (32, 16, 8, 4)]
    maps = [one / one.sum((1, 2), keepdims=True) for one in maps]
    instances = []
    for i in range(objects):
        mask = np.zeros(size, bool)
        mask[: 1 + size[0] // (i + 1), size[1] // (i + 2) :] = kept
        instances.append(ExplainedInstance(4 - i, i % 2, 0.9 - 0.1 * i, mask))
    picture = rng.integers(0, 255, (*size, 3)).astype(np.uint8)
    score_thr, attention = 0.01, maps[-1][::-1]
    return Explanation(
        "a.png", picture, padded, size, None, instances, kept, score_thr, maps, attention
    )


@pytest.mark.parametrize(
    ("size", "objects", "kept"),
    [((1, 1), 2, True), ((7, 9), 2, False), ((20, 200), 0, True), ((200, 20), 2, True)],
)
def test_figure_of_any_size(
    tmp_path: Path, size: tuple[int, int], objects: int, kept: bool
) -> None:
    shown = explanation(size, objects, kept)
    path = draw_explanation(
        shown, tmp_path / "x/a.png", top=1, levels=[4], classes=("cell", "nucleus")
    )
    with Image.open(path) as picture:
        assert picture.format == "PNG" and picture.width == 1600
        corner = np.array(picture.convert("RGB"))[:3, :3]
    assert (corner == 255).all()


def test_each_row_has_the_maps_of_its_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = []
    monkeypatch.setattr(activation_figure, "save_figure", lambda figure, *_: figures.append(figure))
    shown = explanation((64, 96), 3)
    draw_explanation(shown, tmp_path / "a.png", top=2, levels=(1, 4))
    panels = [axes for axes in figures[0].axes if axes.get_title()]
    assert len(panels) == 2 + 2 * 4
    for row, instance in enumerate(shown.instances[:2]):
        mask, coarse, fine, attention = panels[2 + 4 * row : 6 + 4 * row]
        assert mask.get_title().startswith(f"{row + 1}: query {instance.query}, score 0.")
        for axes, maps, title in (
            (coarse, shown.activations[0], "level 1\nstride 32"),
            (fine, shown.activations[3], "level 4\nstride 4"),
            (attention, shown.attention, "level 4\nstride 4"),
        ):
            expected = maps[instance.query]
            np.testing.assert_array_equal(axes.images[-1].get_array(), expected)
            assert axes.images[-1].get_clim() == (0, expected.max())
            assert f"query {instance.query}, {title}, max {expected.max():.2g}" in axes.get_title()


def test_levels_and_rows_are_checked(tmp_path: Path) -> None:
    shown = explanation((32, 32), 1)
    for levels in ([], [0], [1, 5]):
        with pytest.raises(ValueError, match="choose among 1, 2, 3, 4"):
            draw_explanation(shown, tmp_path / "a.png", levels=levels)
    with pytest.raises(ValueError, match="top must be at least 1"):
        draw_explanation(shown, tmp_path / "a.png", top=0)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw", REPO / "tools/draw_activations.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Path]:
    config, weights = tmp_path / "own.py", tmp_path / "own.pth"
    config.write_text(CONFIG.format(configs=(REPO / "configs").as_posix()))
    torch.manual_seed(0)
    init_default_scope("mmdet")
    net = MODELS.build(build_config(config).model)
    meta = {"dataset_meta": {"classes": ("cell",)}}
    torch.save({"state_dict": net.state_dict(), "meta": meta}, weights)
    return config, weights


def test_tool_draws_each_image(
    tool: ModuleType,
    trained: tuple[Path, Path],
    image: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "deep").mkdir()
    deep = np.random.default_rng(0).integers(900, 4000, (23, 31)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "deep/cells.tif", deep)
    images = [str(image), str(tmp_path / "deep/cells.tif")]
    out = tmp_path / "out"
    options = ["--out", str(out), "--top", "1", "--levels", "4"]
    monkeypatch.setattr("sys.argv", ["draw", *map(str, trained), *images, *options])
    tool.main()
    assert {path.name for path in out.iterdir()} == {"cells.png", "cells-2.png"}
    large, small = capsys.readouterr().out.splitlines()[-2:]
    assert "instances in the window at top 9, left 19 (32 x 32 pixels) of an input of 50" in large
    assert large.endswith("x 70; --window TOP LEFT chooses another")
    assert small.startswith(str(out / "cells-2.png")) and small.endswith(" instances")


def test_tool_says_where_it_found_nothing(tool: ModuleType) -> None:
    nothing = explanation((32, 32), 1, kept=False)
    assert tool.describe_result(nothing) == "no instance"
    part = replace(nothing, window=Window(0, 4, 32, 32), whole_size=(90, 80))
    assert tool.describe_result(part).startswith("no instance in the window at top 0, left 4 (")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "none.png"}, "image 'none.png' not found"),
        ({"image": "own.py"}, "own.py' cannot be decoded"),
        ({"weights": "none.pth"}, "checkpoint 'none.pth' not found"),
        ({"weights": "other.pth"}, "weights do not fit IAUNet"),
        ({"config": "other.py"}, "config of ResNet: only attnseg.IAUNet has activation maps"),
        ({"more": ["--top", "0"]}, "--top 0: expected at least 1"),
        ({"more": ["--levels", "9"]}, "levels .9.: choose among"),
        ({"more": ["--window", "99", "0"]}, "window at top 99"),
    ],
)
def test_tool_says_what_is_wrong(
    tool: ModuleType,
    trained: tuple[Path, Path],
    image: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    change: dict,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"x": torch.ones(1)}}, "other.pth")
    Path("other.py").write_text("model = dict(type='ResNet', depth=18)")
    names = {"config": "own.py", "weights": "own.pth", "image": image.name, **change}
    arguments = [names["config"], names["weights"], names["image"], "--out", "out"]
    monkeypatch.setattr("sys.argv", ["draw", *arguments, *names.get("more", [])])
    with pytest.raises(UsageError, match=message):
        tool.main()
    assert not Path("out").exists()
