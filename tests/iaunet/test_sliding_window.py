import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData

from attnseg.iaunet import SlidingWindowDetector
from attnseg.iaunet.mask_crops import crop_mask, paste
from attnseg.iaunet.sliding_window import Instances, predict_in_windows, resize_crop
from attnseg.iaunet.windows import WindowConfig
from tests.iaunet.factory import config, detector, sample


def labelled(size: tuple[int, int], cells: int = 12) -> np.ndarray:
    """Touching cells of random sizes, 0 where none is."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices(size)
    ids = np.zeros(size, np.int64)
    for number in range(1, cells + 1):
        y, x, radius = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(4, 15)
        ids[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = number
    return ids


def perfect(windows: torch.Tensor) -> list[Instances]:
    """The cells of each window, whose image holds their numbers."""
    found = []
    for ids in windows[:, 0].long():
        numbers = [n for n in ids.unique().tolist() if n > 0]
        masks = torch.stack([ids == n for n in numbers]) if numbers else ids[None][:0].bool()
        found.append(Instances(masks, torch.zeros(len(masks)), torch.ones(len(masks))))
    return found


@pytest.mark.parametrize("size", [(64, 96), (97, 51), (30, 130), (20, 20)])
@pytest.mark.parametrize("batch", [1, 4])
def test_perfect_windows_give_the_cells_of_the_whole_image(size, batch):
    ids = labelled(size)
    config = WindowConfig(size=(32, 48), overlap=16, batch=batch)
    image = torch.from_numpy(ids)[None].float()
    found = predict_in_windows(perfect, image, size, config)
    expected = {(ids == n).tobytes() for n in np.unique(ids) if n > 0}
    assert {mask.numpy().tobytes() for mask in found.masks} == expected
    assert len(found) == len(expected)


def half_resolution(windows: torch.Tensor) -> list[Instances]:
    """A network of stride 2: cells of 2x2 pixels, at the size of what it gets."""
    grid = F.max_pool2d(windows, 2, ceil_mode=True)
    return perfect(F.interpolate(grid, windows.shape[2:], mode="nearest"))


@pytest.mark.parametrize("window", [(33, 47), (31, 64)])
def test_windows_of_odd_sides_are_not_shifted(window):
    seen = []

    def predict(windows: torch.Tensor) -> list[Instances]:
        seen.append(tuple(windows.shape[2:]))
        return half_resolution(windows)

    # Blocks of 2x2 pixels in each window: one row and one column of windows begin at 0.
    ids = np.kron(labelled((16, 23), cells=3), np.ones((2, 2), np.int64))[: window[0], : window[1]]
    image = torch.from_numpy(ids)[None].float()
    found = predict_in_windows(predict, image, ids.shape, WindowConfig(window, overlap=16))
    expected = {(ids == n).tobytes() for n in np.unique(ids) if n > 0}
    assert {mask.numpy().tobytes() for mask in found.masks} == expected
    assert set(seen) == {(-(-window[0] // 32) * 32, -(-window[1] // 32) * 32)}


def test_a_wrapped_detector_is_told_of_the_padding():
    wrapped = SlidingWindowDetector(config(), {"size": (33, 40), "overlap": 16}).eval()
    seen = []

    def predict(windows: torch.Tensor, samples: list) -> list:
        seen.extend((tuple(windows.shape), s.metainfo) for s in samples)
        for s in samples:
            masks = torch.ones(1, *s.ori_shape, dtype=torch.bool)
            s.pred_instances = InstanceData(
                masks=masks, labels=torch.zeros(1), scores=torch.ones(1)
            )
        return samples

    wrapped.detector.predict = predict
    for size, window in (((50, 70), (33, 40)), ((20, 70), (20, 40))):
        seen.clear()
        found = wrapped.predict(torch.randn(1, 3, 64, 96), [sample(size, 0)])[0].pred_instances
        assert found.masks.shape == (1, *size)
        assert found.masks.all()
        for shape, meta in seen:
            assert shape[2:] == meta["batch_input_shape"] == meta["pad_shape"] == (64, 64)
            assert meta["img_shape"] == meta["ori_shape"] == window


def test_the_result_is_brought_to_the_original_size():
    ids = labelled((64, 96), cells=3)
    config = WindowConfig(size=(32, 48), overlap=16)
    found = predict_in_windows(perfect, torch.from_numpy(ids)[None].float(), (128, 192), config)
    for mask in found.masks:
        number = ids[mask[::2, ::2].numpy()].max()
        exact = np.kron(ids == number, np.ones((2, 2), bool))
        assert (mask.numpy() & exact).sum() / (mask.numpy() | exact).sum() > 0.9


@pytest.mark.parametrize("new_size", [(40, 60), (97, 33), (20, 30), (7, 9)])
def test_a_resized_crop_is_the_resized_mask(new_size):
    size = (40, 60)
    for number in range(1, 8):
        mask = labelled(size) == number
        crop = crop_mask(mask)
        if crop is None:
            continue
        values = F.interpolate(
            torch.from_numpy(mask)[None, None].double(), new_size, mode="bilinear"
        )
        expected = values[0, 0].numpy() > 0.5
        resized = resize_crop(crop, size, new_size)
        if resized is None:
            assert not expected.any()
        else:
            # Pixels of exactly one half may fall on either side.
            unclear = np.isclose(values[0, 0].numpy(), 0.5, atol=1e-5)
            assert ((paste([resized], new_size)[0] == expected) | unclear).all()


@pytest.mark.parametrize("window", [(32, 32), (33, 45), (48, 80)])
def test_a_wrapped_detector_gives_what_its_own_windows_give(window):
    x = torch.randn(1, 3, 40, 70)
    windows = {"size": window, "overlap": 16}
    own = detector({"score_thr": 0.0, "windows": windows}).eval()
    wrapped = SlidingWindowDetector(config({"score_thr": 0.0}), windows).eval()
    wrapped.detector.load_state_dict(own.state_dict())
    with torch.no_grad():
        expected, found = (
            m.predict(x, [sample((40, 70), 0)])[0].pred_instances for m in (own, wrapped)
        )
    assert torch.equal(expected.masks, found.masks)
    assert torch.equal(expected.scores, found.scores)
    losses = wrapped.train().loss(x[..., :32, :64], [sample((32, 64), 2)])
    assert all(value.isfinite() for value in losses.values())
