"""attnseg.NormalizeChannels, and the same by the preprocessors of mmdet and mmseg."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.models import DetDataPreprocessor
from mmseg.models import SegDataPreProcessor

from attnseg.datasets.transforms import NormalizeChannels

RNG = np.random.default_rng(0)


def normalize(img, **kwargs):
    return NormalizeChannels(**kwargs).transform({"img": img, "img_path": "a.tif"})["img"]


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_values_of_each_channel(channels, dtype):
    img = RNG.integers(0, 255, (7, 9, channels)).astype(dtype)
    mean, std = RNG.random(channels) * 100, RNG.random(channels) + 3
    found = normalize(img, mean=mean.tolist(), std=std.tolist())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (img - mean) / std, rtol=1e-4, atol=1e-4)


def test_one_value_is_for_all_and_images_may_lack_the_channel_axis():
    img = RNG.random((7, 9, 4)).astype(np.float32)
    np.testing.assert_allclose(normalize(img, mean=[0.5], std=[2]), (img - 0.5) / 2, rtol=1e-6)
    flat = normalize(img[..., 0], mean=[0.5], std=[2])
    np.testing.assert_allclose(flat, (img[..., 0] - 0.5) / 2, rtol=1e-6)


@given(st.integers(1, 6), st.booleans(), st.floats(1e-2, 1e3), st.floats(-1e3, 1e3))
def test_z_score_forgets_gain_and_offset(channels, per_channel, gain, offset):
    img = np.random.default_rng(channels).random((11, 8, channels)) * 255
    found = normalize(img, per_channel=per_channel)
    axis = (0, 1) if per_channel else None
    np.testing.assert_allclose(found.mean(axis), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis), 1, atol=1e-5)
    other = normalize(img * gain + offset, per_channel=per_channel)
    # float32 keeps 7 digits of the offset.
    np.testing.assert_allclose(other, found, atol=1e-3 + abs(offset) / gain * 1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0, 0.1, 200, 255])
@pytest.mark.parametrize("per_channel", [False, True])
def test_constant_image_becomes_zero(value, per_channel):
    img = np.full((301, 203, 2), value, np.float32)
    assert not normalize(img, per_channel=per_channel).any()


def test_other_channels_are_named():
    with pytest.raises(ValueError, match=r"'a\.tif' has 5 channels.* got 2 values"):
        normalize(np.zeros((4, 4, 5)), mean=[1, 2], std=[1, 1])


@pytest.mark.parametrize(
    "options",
    [
        {"mean": [1]},
        {"std": [1]},
        {"mean": [1, 2], "std": [1]},
        {"mean": [], "std": []},
        {"mean": [1], "std": [0]},
        {"mean": [1], "std": [1], "per_channel": True},
    ],
)
def test_wrong_options_are_refused_at_once(options):
    with pytest.raises(ValueError, match="std|z-score"):
        NormalizeChannels(**options)


@pytest.mark.parametrize("preprocessor", [DetDataPreprocessor, SegDataPreProcessor])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_preprocessors_take_one_value_for_any_channels(preprocessor, channels):
    """What the documentation promises of mmdet and mmseg, so that a change there is seen."""
    img = torch.rand(channels, 32, 32) * 255
    data = {"inputs": [img], "data_samples": None}
    found = preprocessor(mean=[100.0], std=[50.0])(data)["inputs"]
    torch.testing.assert_close(torch.as_tensor(found[0]), (img - 100) / 50)
    with pytest.raises(AssertionError, match="1 or 3 values"):
        preprocessor(mean=[1.0] * 2, std=[1.0] * 2)


def test_swapping_colours_harms_other_channels():
    swap = DetDataPreprocessor(bgr_to_rgb=True)
    assert swap({"inputs": [torch.rand(5, 8, 8)], "data_samples": None})["inputs"].shape[1] == 3
    with pytest.raises(IndexError):
        swap({"inputs": [torch.rand(2, 8, 8)], "data_samples": None})
