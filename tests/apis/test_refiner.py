"""One image and one stroke: files and arrays, corrections, and what is said of bad input."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch
from mmengine.registry import MODELS
from PIL import Image
from safetensors.torch import save_file

from attnseg.apis.experiment import UsageError, build_config
from attnseg.apis.refine_inputs import read_mask
from attnseg.apis.refiner import MaskRefiner
from tests.apis.refine_factory import CONFIG, REPO, write_model

RNG = np.random.default_rng(0)
SIZE = (37, 53)
IMAGE = RNG.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def refiner(files: tuple[Path, Path]) -> MaskRefiner:
    return MaskRefiner(*files)


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def test_the_mask_that_goes_in_is_stroke_and_corrections(refiner: MaskRefiner) -> None:
    stroke, add, remove = box(5, 5, 20, 20), box(10, 15, 25, 40), box(0, 0, 12, 9)
    found = refiner(IMAGE, stroke)
    assert found.dtype == bool and found.shape == SIZE
    np.testing.assert_array_equal(found, stroke)
    np.testing.assert_array_equal(refiner(IMAGE, stroke, add), stroke | add)
    np.testing.assert_array_equal(refiner(IMAGE, stroke, remove=remove), stroke & ~remove)
    both = refiner(IMAGE, stroke, add, remove)
    np.testing.assert_array_equal(both, (stroke | add) & ~remove)
    sample = refiner.prepare(IMAGE, stroke, add, remove)["data_samples"]
    np.testing.assert_array_equal(sample.add.numpy(), add)
    np.testing.assert_array_equal(sample.remove.numpy(), remove)
    assert "gt_mask" not in sample and tuple(sample.ori_shape) == SIZE


def test_crop_is_pasted_back_and_nothing_lies_outside(tmp_path: Path) -> None:
    refiner = MaskRefiner(*write_model(tmp_path, crop=True))
    image = RNG.integers(0, 256, (300, 411, 3), dtype=np.uint8)
    stroke = np.zeros(image.shape[:2], bool)
    stroke[250:300, 371:411] = True
    found = refiner(image, stroke)
    union = (found | stroke).sum()
    assert (found & stroke).sum() / union > 0.9 and not found[:200].any()
    assert refiner.prepare(image, stroke)["inputs"].shape == (3, 64, 64)


def test_files_and_arrays_give_the_same(refiner: MaskRefiner, tmp_path: Path) -> None:
    stroke = box(3, 7, 30, 41)
    cv2.imwrite(str(tmp_path / "a.png"), IMAGE)
    cv2.imwrite(str(tmp_path / "s.png"), stroke * np.uint8(7))
    sample = refiner.prepare(tmp_path / "a.png", str(tmp_path / "s.png"))
    assert torch.equal(sample["inputs"], refiner.prepare(IMAGE, stroke)["inputs"])
    np.testing.assert_array_equal(refiner(tmp_path / "a.png", tmp_path / "s.png"), stroke)


def test_strokes_of_every_kind_of_file(tmp_path: Path) -> None:
    mask = box(3, 7, 30, 41)
    name = tmp_path / "s.png"
    pixels = np.zeros((*SIZE, 4), np.uint8)
    pixels[mask] = (0, 0, 0, 200)
    palette = Image.fromarray(mask.astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 255, 0, 0])
    red = np.zeros((*SIZE, 3), np.uint8)
    red[mask] = (1, 0, 0)
    opaque = np.dstack([red, np.full(SIZE, 255, np.uint8)])
    for picture in (
        Image.fromarray(mask),
        Image.fromarray(pixels, "RGBA"),
        Image.fromarray(opaque, "RGBA"),
        Image.fromarray(red),
        palette,
        Image.fromarray(mask.astype(np.uint16) * 300),
    ):
        picture.save(name)
        found = read_mask(name, SIZE, "stroke", "the image")
        np.testing.assert_array_equal(found, mask.astype(np.uint8))
    for array in (mask, mask * 0.5, mask[..., None], mask * np.int64(-3)):
        np.testing.assert_array_equal(read_mask(array, SIZE, "stroke", "i"), mask.astype(np.uint8))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("opaque", [True, False])
def test_alpha_of_arrays_is_read_as_of_files(tmp_path: Path, mode: str, opaque: bool) -> None:
    mask = box(3, 7, 30, 41)
    alpha = np.full(SIZE, 255, np.uint8) if opaque else mask * np.uint8(200)
    painted = mask * np.uint8(9 if opaque else 0)
    pixels = np.dstack([*[painted] * (len(mode) - 1), alpha])
    Image.fromarray(pixels, mode).save(tmp_path / "s.png")
    for given in (tmp_path / "s.png", pixels, pixels / 255):
        found = read_mask(given, SIZE, "stroke", "the image")
        np.testing.assert_array_equal(found, mask.astype(np.uint8))


def test_images_lose_their_alpha(refiner: MaskRefiner, tmp_path: Path) -> None:
    pixels = np.dstack([IMAGE, RNG.integers(0, 256, SIZE, dtype=np.uint8)])
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    for given in (tmp_path / "a.png", pixels):
        np.testing.assert_array_equal(refiner.read(given), IMAGE)


def test_gray_and_deep_images_become_bytes(refiner: MaskRefiner, tmp_path: Path) -> None:
    stroke = box(3, 7, 30, 41)
    gray = refiner.prepare(IMAGE[..., 0], stroke)["inputs"]
    assert torch.equal(gray, torch.from_numpy(IMAGE[..., 0]).expand(3, -1, -1))
    deep = np.linspace(1000, 3000, np.prod(SIZE)).reshape(SIZE).astype(np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", deep)
    for given in (deep, tmp_path / "deep.tif"):
        inputs = refiner.prepare(given, stroke)["inputs"]
        assert inputs.dtype == torch.uint8 and inputs.min() == 0 and inputs.max() == 255
        np.testing.assert_array_equal(refiner(given, stroke), stroke)


def test_many_strokes_equal_single_ones(refiner: MaskRefiner) -> None:
    strokes = [box(i, i, 10 + 2 * i, 30 + i) for i in range(5)]
    for stroke, found in zip(strokes, refiner.refine_many(IMAGE, strokes, 2), strict=True):
        np.testing.assert_array_equal(found, stroke)
    assert refiner.refine_many(IMAGE, []) == []


def test_windows_of_several_sizes_are_not_padded_together(tmp_path: Path) -> None:
    config, _ = write_model(tmp_path / "m", crop=True)
    torch.manual_seed(1)
    # Random weights, with which a padded neighbour would show.
    weights = {"state_dict": MODELS.build(build_config(config).model).state_dict()}
    torch.save(weights, tmp_path / "random.pth")
    refiner = MaskRefiner(config, tmp_path / "random.pth")
    image = RNG.integers(0, 256, (300, 300, 3), dtype=np.uint8)
    strokes = [np.zeros((300, 300), bool) for _ in range(6)]
    for stroke, side in zip(strokes, (200, 20, 60, 30, 70, 110), strict=True):
        stroke[40 : 40 + side, 40 : 40 + side] = True
    sizes = {refiner.prepare(image, stroke)["inputs"].shape for stroke in strokes}
    assert sizes == {(3, 64, 64), (3, 96, 96), (3, 128, 128)}
    found = refiner.refine_many(image, strokes, 2)
    assert len(found) == 6 and any(mask.any() for mask in found)
    for mask, stroke in zip(found, strokes, strict=True):
        assert (mask != refiner(image, stroke)).mean() < 1e-3


def test_safetensors_and_load_from(files: tuple[Path, Path], tmp_path: Path) -> None:
    weights = torch.load(files[1], weights_only=True)["state_dict"]
    save_file(weights, tmp_path / "own.safetensors")
    stroke = box(3, 7, 30, 41)
    for refiner in (
        MaskRefiner(files[0], tmp_path / "own.safetensors"),
        MaskRefiner(files[0], cfg_options={"load_from": str(files[1])}),
    ):
        np.testing.assert_array_equal(refiner(IMAGE, stroke), stroke)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stroke": box(0, 0, 0, 0)}, "the stroke on the image is empty: .* Paint over"),
        ({"remove": box(0, 0, *SIZE)}, "empty: .* after what is to be removed"),
        (
            {"stroke": np.ones((37, 54))},
            "stroke is of size 37 x 54, but the image .* 37 x 53",
        ),
        ({"add": np.ones(SIZE[::-1])}, "add is of size 53 x 37"),
        ({"stroke": "none.png"}, "stroke 'none.png' does not exist"),
        ({"image": "none.png"}, r"image 'none.png' does not exist \(looked from \S+\)\.$"),
        ({"image": __file__}, "^image '.*py' cannot be decoded: [^.]* no image\\.$"),
        ({"stroke": __file__}, "^stroke '.*py' cannot be decoded: [^.]* no image\\.$"),
        ({"stroke": None}, "stroke is NoneType: a path or an array"),
        ({"image": None}, "the image is NoneType"),
        ({"image": np.full(SIZE, np.nan)}, "the image holds no numbers, only NaN"),
        ({"stroke": np.full(SIZE, np.nan)}, "stroke holds NaN: give 0"),
        ({"image": np.zeros((*SIZE, 5), np.uint8)}, "5 channels"),
        ({"image": np.zeros((3, 4, 5, 6))}, r"shape \(3, 4, 5, 6\)"),
    ],
)
def test_bad_input_is_named(refiner: MaskRefiner, arguments: dict, message: str) -> None:
    given = {"image": IMAGE, "stroke": box(2, 2, 9, 9), **arguments}
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        refiner(**given)


@pytest.mark.parametrize("device", ["cuda:99", "nowhere"])
def test_a_missing_device_is_named(files: tuple[Path, Path], device: str) -> None:
    with pytest.raises(UsageError, match="(?i)cuda|device"):
        MaskRefiner(*files, device=device)


def test_bad_configs_and_weights_are_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    torch.save({"state_dict": {"x": torch.ones(1)}}, tmp_path / "other.pth")
    (tmp_path / "other.py").write_text("model = dict(type='mmdet.ResNet', depth=18)")
    short = CONFIG.format(configs=(REPO / "configs").as_posix())
    (tmp_path / "bare.py").write_text(short.replace("demo_refinement.py", "demo_instance.py"))
    for config, weights, message in (
        (files[0], tmp_path / "other.pth", "weights do not fit MaskRefinementModel"),
        (files[0], tmp_path / "none.pth", "none.pth' not found"),
        (files[0], None, "names no weights"),
        (tmp_path / "other.py", files[1], "config of mmdet.ResNet: attnseg.MaskRefinementModel"),
        (tmp_path / "none.py", files[1], "none.py' not found"),
        (tmp_path / "bare.py", files[1], "end with attnseg.PackRefinement"),
    ):
        with pytest.raises(UsageError, match=message):
            MaskRefiner(config, weights)
