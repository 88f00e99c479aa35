"""attnseg.LoadImage on TIFF: axes, planes, compression, series."""

import io

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from attnseg.datasets import LoadImage
from attnseg.datasets.converters.image_files import read_size
from attnseg.datasets.transforms import decode
from attnseg.datasets.transforms.image import stretch

RNG = np.random.default_rng(0)


def load(path, **kwargs):
    return LoadImage(**kwargs)({"img_path": str(path)})["img"]


@pytest.mark.parametrize(
    ("axes", "options"),
    [
        ("CYX", {"imagej": True}),
        ("TZCYX", {"imagej": True}),
        ("CYX", {"ome": True}),
        ("TCYX", {"ome": True}),
        ("TCZYX", {"ome": True}),
        ("CYX", {"photometric": "minisblack"}),
        ("YXS", {"photometric": "minisblack", "planarconfig": "contig"}),
        ("SYX", {"photometric": "minisblack", "planarconfig": "separate"}),
        ("QYX", {"photometric": "minisblack", "compression": "zlib"}),
        ("IYX", {"photometric": "minisblack", "metadata": None}),
        ("CYX", {"ome": True, "compression": "zlib", "tile": (16, 16)}),
    ],
)
@pytest.mark.parametrize("channels", [2, 3, 5])
def test_channels_of_any_axes(tmp_path, axes, options, channels):
    image = RNG.integers(0, 4000, (21, 18, channels)).astype(np.uint16)
    stored = image if axes == "YXS" else np.moveaxis(image, 2, 0)
    if "C" in axes:
        for axis in "ZT":  # of one plane
            if axis in axes:
                stored = np.expand_dims(stored, 0 if axes.index(axis) < axes.index("C") else 1)
    metadata = {"metadata": {"axes": axes}} if "C" in axes else {}
    tifffile.imwrite(tmp_path / "a.tif", stored, **{**metadata, **options})
    found = load(tmp_path / "a.tif", channels=channels, percentiles=(0, 100))
    expected = (image - float(image.min())) * (255 / (int(image.max()) - int(image.min())))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_planar_colour_is_bgr(tmp_path):
    image = RNG.integers(0, 255, (3, 14, 15), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(load(tmp_path / "a.tif"), np.moveaxis(image, 0, 2)[..., ::-1])


@pytest.mark.parametrize("pages", [1, 2])
def test_lzw_of_16_bit_pages(tmp_path, pages):
    images = [RNG.integers(0, 4000, (14, 15)).astype(np.uint16) for _ in range(pages)]
    lzw = [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_LZW]
    assert cv2.imwritemulti(str(tmp_path / "a.tif"), images, lzw)
    found = load(tmp_path / "a.tif", channels=pages)
    tifffile.imwrite(tmp_path / "b.tif", np.stack(images), photometric="minisblack")
    np.testing.assert_array_equal(found, load(tmp_path / "b.tif", channels=pages))


def test_white_is_zero_is_turned_round(tmp_path):
    image = RNG.integers(0, 255, (9, 9), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="miniswhite")
    np.testing.assert_array_equal(load(tmp_path / "a.tif", channels=1)[..., 0], 255 - image)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("labels", [True, False])
def test_white_is_zero_with_lzw_and_in_labels(kind, labels):
    """As without compression; numbers of objects are given as stored."""
    image = RNG.integers(0, 200, (9, 10)).astype(kind)
    plain, lzw = io.BytesIO(), io.BytesIO()
    tifffile.imwrite(plain, image, photometric="miniswhite")
    # Pillow turns 8-bit values round on writing.
    given = 255 - image if kind == np.uint8 else image
    Image.fromarray(given).save(lzw, "TIFF", compression="tiff_lzw", tiffinfo={262: 0})
    expected = image if labels else np.iinfo(kind).max - image
    for file in (plain, lzw):
        found = decode.decode_image(file.getvalue(), "a.tif", labels=labels)
        np.testing.assert_array_equal(found.img[..., 0], expected)


@pytest.mark.parametrize("extra", ["unassalpha", "assocalpha", "unspecified"])
@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_alpha_is_what_the_file_calls_so_whatever_its_name(tmp_path, extra, name):
    image = RNG.integers(0, 255, (9, 8, 4), np.uint8)
    tifffile.imwrite(tmp_path / name, image, photometric="rgb", extrasamples=[extra])
    found = load(tmp_path / name, channels=None)
    expected = image[..., [2, 1, 0, 3] if extra == "unspecified" else [2, 1, 0]]
    np.testing.assert_array_equal(found, expected)


def damaged_files():
    """Name and bytes of whole files of several writers."""
    image = RNG.integers(0, 255, (20, 21), np.uint8)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", None):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "TIFF", compression=compression)
        yield str(compression), buffer.getvalue()
    for options in ({"ome": True}, {"imagej": True}, {"compression": "zlib"}):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, image, **options)
        yield str(options), buffer.getvalue()
    yield "magic", b"II*\0no tiff"


@pytest.mark.parametrize(("name", "data"), [pytest.param(*f, id=f[0]) for f in damaged_files()])
def test_half_copied_files_are_named(tmp_path, name, data):
    path = tmp_path / "a.tif"
    for length in (0, 3, 4, 6, 8, 9, len(data) // 2):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"a\.tif' cannot be decoded"):
            load(path)
        if length < 10:  # later on, a header is whole
            with pytest.raises(ValueError, match=r"a\.tif' cannot be decoded"):
                read_size(path)


def test_reason_of_the_decoder_stands_before_the_advice(tmp_path, monkeypatch):
    Image.fromarray(RNG.integers(0, 255, (40, 41), np.uint8)).save(
        tmp_path / "a.tif", compression="tiff_lzw"
    )
    monkeypatch.setattr(cv2, "imdecodemulti", lambda *_: (False, ()))
    with pytest.raises(ValueError, match=r"damaged or no image \(.*; if the file is whole, its"):
        load(tmp_path / "a.tif")


@pytest.mark.parametrize(("suffix", "write"), [(".png", tifffile.imwrite), (".tif", None)])
def test_size_is_read_by_the_bytes_not_the_name(tmp_path, suffix, write):
    path = tmp_path / f"a{suffix}"
    image = np.zeros((5, 3, 4), np.uint8)
    if write:
        write(path, image, photometric="minisblack")
    else:
        path.write_bytes(cv2.imencode(".png", image[0])[1].tobytes())
    assert read_size(path) == load(path, channels=None).shape[:2] == (3, 4)


def test_first_of_several_series_is_taken_and_said_once(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "_SAID", set())
    said = []
    monkeypatch.setattr(decode, "print_log", lambda message, *_: said.append(message))
    first = RNG.integers(0, 255, (9, 8), np.uint8)
    for name in "ab":
        with tifffile.TiffWriter(tmp_path / f"{name}.tif") as file:
            file.write(first, photometric="minisblack")
            file.write(np.zeros((3, 4), np.uint8), photometric="minisblack")
        found = load(tmp_path / f"{name}.tif", channels=1)
        np.testing.assert_array_equal(found[..., 0], first)
    assert len(said) == 1 and "a.tif' holds 2 series: the first (9x8, axes YX) is read" in said[0]


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "ZCYX"])
def test_planes_are_no_channels(tmp_path, axes):
    stack = RNG.integers(0, 4000, (5, 2, 11, 12)).astype(np.uint16)
    stack = stack if "C" in axes else stack[:, 0]
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": axes})
    with pytest.raises(ValueError, match=r"a\.tif' has 5 (z-planes|time points) .*not channels"):
        load(tmp_path / "a.tif", channels=5)

    def expected(image):
        chosen = image[None] if image.ndim == 2 else image
        return stretch(np.moveaxis(chosen, 0, 2), (0.1, 99.9), False)

    for option, plane in (
        ("max", stack.max(0)),
        ("middle", stack[2]),
        (0, stack[0]),
        (4, stack[4]),
        ("channels", stack.reshape(-1, 11, 12)),
    ):
        found = load(tmp_path / "a.tif", channels=None, stack=option)
        np.testing.assert_array_equal(found, expected(plane))
    with pytest.raises(ValueError, match=r"number in 0\.\.4"):
        load(tmp_path / "a.tif", stack=5)
