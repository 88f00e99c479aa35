"""attnseg.LoadImage: depth, channels, damage."""

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from attnseg.datasets import LoadImage
from attnseg.datasets.transforms.image import stretch

RNG = np.random.default_rng(0)


def load(path, **kwargs):
    return LoadImage(**kwargs)({"img_path": str(path)})["img"]


def save(path, image):
    assert cv2.imwrite(str(path), image)
    return path


def test_8_bit_colour_is_what_opencv_reads(tmp_path):
    image = RNG.integers(0, 255, (13, 22, 3), np.uint8)
    results = LoadImage()({"img_path": str(save(tmp_path / "a.png", image))})
    np.testing.assert_array_equal(results["img"], image)
    assert results["img"].dtype == np.uint8
    assert results["ori_shape"] == results["img_shape"] == (13, 22)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 1), (9, 8, 3)])
@pytest.mark.parametrize("options", [{}, {"channels": 1}, {"select": (0,)}])
def test_an_array_is_treated_as_its_file(tmp_path, dtype, shape, options):
    image = RNG.integers(0, 255, shape).astype(dtype)
    path = save(tmp_path / "a.png", image)
    results = LoadImage(**options)({"img": image})
    np.testing.assert_array_equal(results["img"], load(path, **options))
    assert results["ori_shape"] == (9, 8)


def test_an_array_that_is_no_image_is_refused():
    for shape in [(4,), (0, 3), (2, 2, 2, 2)]:
        with pytest.raises(ValueError, match=r"given as array has shape"):
            LoadImage()({"img": np.zeros(shape, np.uint8)})
    with pytest.raises(ValueError, match="image 'given as array' has 2 channels"):
        LoadImage()({"img": np.zeros((4, 5, 2), np.uint8)})


@pytest.mark.parametrize(("channels", "found"), [(3, 3), (1, 1), (None, 1)])
def test_gray_is_repeated_or_kept(tmp_path, channels, found):
    gray = RNG.integers(0, 255, (11, 7), np.uint8)
    image = load(save(tmp_path / "a.png", gray), channels=channels)
    np.testing.assert_array_equal(image, np.repeat(gray[..., None], found, axis=2))


def test_colour_to_gray_is_luminance(tmp_path):
    image = RNG.integers(0, 255, (9, 9, 3), np.uint8)
    gray = load(save(tmp_path / "a.png", image), channels=1)
    expected = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    assert np.abs(gray[..., 0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("channels", [3, None])
def test_alpha_is_dropped(tmp_path, channels):
    image = RNG.integers(0, 255, (9, 8, 4), np.uint8)
    found = load(save(tmp_path / "a.png", image), channels=channels)
    np.testing.assert_array_equal(found, image[..., :3])


def test_16_bit_is_stretched_between_percentiles(tmp_path):
    image = np.arange(3000, 3000 + 40 * 50, dtype=np.uint16).reshape(40, 50)
    found = load(save(tmp_path / "a.png", image), percentiles=(0, 100), channels=1)
    np.testing.assert_allclose(found[..., 0], (image - 3000) * (255 / 1999), atol=1e-3)
    assert found.dtype == np.float32


def test_hot_pixels_do_not_darken_a_16_bit_image(tmp_path):
    image = RNG.integers(1000, 2000, (100, 100)).astype(np.uint16)
    image[0, 0] = 65535
    assert np.median(load(save(tmp_path / "a.png", image))) > 100


def test_float_tiff_with_nan(tmp_path):
    image = RNG.random((10, 12)).astype(np.float32)
    image[0, 0], image[1, 1] = np.nan, np.inf
    tifffile.imwrite(tmp_path / "a.tif", image)
    found = load(tmp_path / "a.tif")
    assert found.shape == (10, 12, 3)
    assert np.isfinite(found).all()
    assert (found[0, 0] == 0).all() and (found[1, 1] == 255).all()


@given(st.floats(-1e4, 1e4), st.floats(1e-2, 1e4), st.integers(0, 2**16))
def test_stretch_does_not_depend_on_offset_and_gain(offset, gain, seed):
    image = np.random.default_rng(seed).random((12, 9, 2)) * 100
    one = stretch(image, (1, 99), False)
    other = stretch(image * gain + offset, (1, 99), False)
    assert one.min() == 0 and one.max() == 255
    # float32 keeps 7 digits of the offset.
    np.testing.assert_allclose(one, other, atol=0.5 + abs(offset) / gain * 1e-5)


def test_stretch_by_channel_uses_the_full_range_of_each():
    image = np.stack([np.linspace(0, 1, 50), np.linspace(5, 900, 50)], 1)[None]
    found = stretch(image, (0, 100), True)
    np.testing.assert_allclose(found[..., 0], found[..., 1], atol=1e-2)


@pytest.mark.parametrize("value", [0, 700, np.nan])
def test_constant_image_becomes_black(value):
    assert not stretch(np.full((4, 4, 1), value), (0.1, 99.9), False).any()


@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("pages", [False, True])
def test_tiff_of_five_channels(tmp_path, depth, pages):
    image = (RNG.random((14, 15, 5)) * 200).astype(depth)
    stored = np.moveaxis(image, 2, 0) if pages else image
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=None if pages else 1
    )
    for channels in (None, 5):
        found = load(tmp_path / "a.tif", channels=channels, percentiles=(0, 100))
        assert found.shape == (14, 15, 5)
        assert np.corrcoef(found.ravel(), image.ravel())[0, 1] > 0.999


def test_colour_tiff_is_bgr_like_other_files(tmp_path):
    image = RNG.integers(0, 255, (14, 15, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb")
    np.testing.assert_array_equal(load(tmp_path / "a.tif"), image[..., ::-1])


def test_lzw_tiff_is_read_without_further_packages(tmp_path):
    image = RNG.integers(0, 255, (14, 15, 3), np.uint8)
    lzw = [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_LZW]
    cv2.imwrite(str(tmp_path / "a.tif"), image, lzw)
    np.testing.assert_array_equal(load(tmp_path / "a.tif"), image)


def test_other_channels_name_file_and_numbers(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 6, 5), np.uint8), photometric="minisblack")
    with pytest.raises(ValueError, match=r"a\.tif' has 5 channels, LoadImage\(channels=3\)"):
        load(tmp_path / "a.tif")


@pytest.mark.parametrize("kept", [0, 20, 200])
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_damaged_file_is_named(tmp_path, kept, suffix):
    path = tmp_path / f"broken.{suffix}"
    image = RNG.integers(0, 255, (30, 30, 3), np.uint8)
    tifffile.imwrite(path, image) if suffix == "tif" else save(path, image)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=rf"broken\.{suffix}' cannot be decoded"):
        load(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.png' does not exist"):
        load(tmp_path / "none.png")


def test_percentiles_must_rise():
    with pytest.raises(ValueError, match="percentiles must rise"):
        LoadImage(percentiles=(99, 1))


def test_size_of_the_annotation_file_is_compared(tmp_path):
    path = save(tmp_path / "a.png", np.zeros((10, 20), np.uint8))
    sample = {"img_path": str(path), "height": 20, "width": 10}
    with pytest.raises(ValueError, match=r"a\.png' is 10x20 .* 20x10"):
        LoadImage()(sample)
    assert LoadImage(check_sizes=False)(sample)["img"].shape == (10, 20, 3)


def test_size_of_a_mask_is_compared(tmp_path):
    path = save(tmp_path / "a.png", np.zeros((10, 20), np.uint8))
    mask = {"size": [20, 10], "counts": "x"}
    with pytest.raises(ValueError, match=r"a\.png' is 10x20 .*object 0 is 20x10"):
        LoadImage()({"img_path": str(path), "instances": [{"mask": mask}]})


# Channels: which of the file, in which order, and what if there are too few.


def five_channels(path, depth=np.uint8, **kwargs):
    """Channel c of 5 is constant 10 * (c + 1), but for one pixel of 0."""
    image = np.zeros((6, 7, 5), depth)
    image[:] = np.arange(10, 60, 10)
    image[0, 0] = 0
    tifffile.imwrite(path, image, photometric="minisblack", planarconfig="contig", **kwargs)
    return path


@pytest.mark.parametrize("select", [(2, 0), (4,), (1, 1, 3), (0, None, 2), (None, 4)])
def test_selected_channels_stand_in_the_order_given(tmp_path, select):
    found = load(five_channels(tmp_path / "a.tif"), select=select)
    expected = [0 if i is None else 10 * (i + 1) for i in select]
    np.testing.assert_array_equal(found[3, 3], expected)
    assert found.shape == (6, 7, len(select)) and found.dtype == np.uint8


def test_only_selected_channels_are_stretched_together(tmp_path):
    found = load(five_channels(tmp_path / "a.tif", np.uint16), select=(0, None, 3))
    # Channel 4 (of 50) has no part in the range 0..40, nor has the channel of zeros.
    np.testing.assert_allclose(found[3, 3], [255 / 4, 0, 255])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_selection_of_colour_counts_from_red(tmp_path, suffix):
    image = RNG.integers(0, 255, (9, 9, 3), np.uint8)
    path = save(tmp_path / f"a.{suffix}", image)
    np.testing.assert_array_equal(load(path, select=(0, 2)), image[..., [2, 0]])


def test_selection_beyond_the_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"a\.tif' has 5 channels \(numbers 0..4\).* channel 5"):
        load(five_channels(tmp_path / "a.tif"), select=(0, 5))


@pytest.mark.parametrize(
    "options",
    [
        {"select": (0, -1)},
        {"select": (None,)},
        {"select": ()},
        {"select": (True, 0)},
        {"select": (0, 1), "channels": 5},
        {"missing": "pad"},
        {"stack": "min"},
        {"stack": -1},
    ],
)
def test_wrong_options_are_refused_at_once(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        LoadImage(**options)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_two_channels_become_three_only_if_told(tmp_path, depth):
    image = (RNG.random((12, 9, 2)) * 250).astype(depth)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", planarconfig="contig")
    with pytest.raises(ValueError, match=r"a\.tif' has 2 channels.*missing='zero' or 'repeat'"):
        load(tmp_path / "a.tif")
    two = load(tmp_path / "a.tif", channels=2)
    zero = load(tmp_path / "a.tif", missing="zero")
    np.testing.assert_array_equal(zero, np.dstack([two, np.zeros_like(two[..., :1])]))
    repeat = load(tmp_path / "a.tif", missing="repeat")
    np.testing.assert_array_equal(repeat, two[..., [0, 1, 0]])


def test_gray_becomes_three_equal_channels_whatever_is_missing(tmp_path):
    path = save(tmp_path / "a.png", RNG.integers(0, 255, (5, 5), np.uint8))
    for missing in ("error", "zero", "repeat"):
        image = load(path, missing=missing)
        np.testing.assert_array_equal(image, image[..., [0, 0, 0]])


def test_fourth_fluorescence_channel_is_not_taken_for_alpha(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 8, 9), np.uint16), photometric="minisblack")
    for channels in (1, 3):
        with pytest.raises(ValueError, match=r"has 4 channels.*select="):
            load(tmp_path / "a.tif", channels=channels)


def test_8_bit_is_stretched_on_demand(tmp_path):
    image = RNG.integers(20, 61, (30, 30), np.uint8)
    path = save(tmp_path / "a.png", image)
    assert load(path).max() == 60
    found = load(path, stretch_8bit=True, percentiles=(0, 100), channels=1)
    np.testing.assert_allclose(found[..., 0], (image - 20.0) * (255 / 40), rtol=1e-5)


# Extreme values and sizes.


@pytest.mark.parametrize("size", [(1, 1), (1, 8), (8, 1), (2, 3), (8, 8)])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("per_channel", [False, True])
def test_tiny_images(tmp_path, size, depth, per_channel):
    image = (RNG.permutation(np.prod(size) * 2).reshape(2, *size) + 5).astype(depth)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", metadata={"axes": "CYX"})
    found = load(tmp_path / "a.tif", channels=2, stretch_8bit=True, per_channel=per_channel)
    assert found.shape == (*size, 2)
    constant = per_channel and size == (1, 1)
    assert (found.min(), found.max()) == ((0, 0) if constant else (0, 255))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("empty", [np.nan, np.inf, 3.0])
def test_channel_without_content_is_black_and_disturbs_none(per_channel, empty):
    image = RNG.random((9, 9, 2)).astype(np.float32) + 3
    image[0, 0, 0] = 3
    alone = stretch(image[..., :1], (0, 100), False)
    image[..., 1] = empty
    found = stretch(image, (0, 100), per_channel)
    np.testing.assert_array_equal(found, np.dstack([alone, np.zeros_like(alone)]))


def test_few_bright_pixels_on_an_even_ground_are_kept():
    image = np.zeros((100, 100, 1), np.uint16)
    image[3, 4], image[5, 6] = 1000, 500
    found = stretch(image, (0.1, 99.9), False)
    np.testing.assert_allclose([found[3, 4, 0], found[5, 6, 0], found.sum()], [255, 127.5, 382.5])


@given(st.integers(1, 5), st.integers(1, 8), st.integers(1, 8), st.booleans(), st.integers(0, 99))
def test_stretch_stays_within_range_and_order(channels, height, width, per_channel, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 65536, (height, width, channels)).astype(np.uint16)
    found = stretch(image, (1, 98), per_channel)
    assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 255
    for channel in range(channels):
        ordered = found[..., channel].ravel()[np.argsort(image[..., channel], axis=None)]
        assert (np.diff(ordered) >= 0).all()
