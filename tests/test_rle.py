"""Run-length codes against pycocotools, and the list of objects read piece by piece."""

import io
import json
import zipfile
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as tools

from attnseg.evaluation.submission import json_stream
from attnseg.evaluation.submission.json_stream import read_json_list, write_json_list
from attnseg.rle import decode_mask, mask_area, mask_box, run_lengths

MASKS = [
    np.zeros((3, 5), bool),
    np.ones((3, 5), bool),
    np.random.default_rng(0).random((40, 70)) < 0.5,
    np.random.default_rng(1).random((40, 70)) < 0.01,
    np.arange(700 * 1200).reshape(700, 1200) % 300000 < 250000,
    np.eye(1, 4, 2, dtype=bool),
]


@pytest.mark.parametrize("mask", MASKS)
def test_agrees_with_pycocotools(mask: np.ndarray) -> None:
    rle = tools.encode(np.asfortranarray(mask, np.uint8))
    for counts in (rle["counts"], rle["counts"].decode()):
        own = {"size": list(mask.shape), "counts": counts}
        runs = run_lengths(own, mask.shape)
        assert np.array_equal(decode_mask(own), mask)
        assert mask_area(runs) == tools.area(rle)
        assert mask_box(own) == tools.toBbox(rle).tolist()
        listed = {"size": own["size"], "counts": runs.tolist()}
        assert np.array_equal(run_lengths(listed), runs)


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ([[1, 2, 3, 4]], "no RLE"),
        ({"size": [2, 2]}, "no RLE"),
        ({"size": [2], "counts": "4"}, "size"),
        ({"size": [2, -2], "counts": "4"}, "size"),
        ({"size": [2, 1 << 30], "counts": "4"}, "size"),
        ({"size": [3, 2], "counts": "6"}, r"size \(H, W\) = \(3, 2\).*\(2, 3\)"),
        ({"size": [2, 3], "counts": "5"}, "runs of 5 pixels, the mask has 6"),
        ({"size": [2, 3], "counts": "ooooooo"}, "cut off"),
        ({"size": [2, 3], "counts": "oooooooo0"}, "longer than any mask"),
        ({"size": [2, 3], "counts": "3\x00"}, "characters"),
        ({"size": [2, 3], "counts": "3é"}, "characters"),
        ({"size": [2, 3], "counts": 6}, "type int"),
        ({"size": [2, 3], "counts": [6.0]}, "whole numbers"),
        ({"size": [2, 3], "counts": [7, -1]}, "run of 7 pixels, the mask has 6"),
        ({"size": [2, 3], "counts": [-1, 6]}, "run of -1 pixels"),
        ({"size": [2, 3], "counts": [10**30]}, "run of 10{30} pixels, the mask has 6"),
        # Their sum is 6 modulo 2^64.
        ({"size": [2, 3], "counts": [*[1 << 62] * 4, 6]}, "run of 4611686018427387904 pixels"),
    ],
)
def test_damaged(rle: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_lengths(rle, (2, 3))


@pytest.mark.parametrize("chunk", [1, 3, 1 << 18])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_list_comes_back(chunk: int, count: int, monkeypatch) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", chunk)
    items = [{"a": [i, "}],{ä"], "b": {"c": -0.1 * i}} for i in range(count)]
    stream = io.BytesIO()
    write_json_list(stream, iter(items))
    assert json.loads(stream.getvalue()) == items
    spaced = io.BytesIO(json.dumps(items, indent=3).encode() + b"\n \t")
    for source in (io.BytesIO(stream.getvalue()), spaced):
        assert list(read_json_list(source, "x")) == items
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json_list(io.BytesIO(), [{"score": float("nan")}])


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[", "[{}", "[{},", "[{},]", "[{} {}]", "[{}]x", "[1]", '[{"a":}]', "[{}, 2]"],
)
def test_damaged_list(text: str) -> None:
    with pytest.raises(ValueError, match="'x.json' is damaged after object [01]: "):
        list(read_json_list(io.BytesIO(text.encode()), "x.json"))


def test_deep_nesting_and_bytes_that_are_no_text() -> None:
    for data in (b'[{"a":' + b"[" * 100000, b"[{\xff"):
        with pytest.raises(ValueError, match="damaged after object 0"):
            list(read_json_list(io.BytesIO(data), "x"))


def test_long_lists_are_not_held_in_memory() -> None:
    record = json.dumps({"counts": "x" * 1000}).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x", b"[" + b",".join([record] * 20000) + b"]")
    with zipfile.ZipFile(buffer).open("x") as stream:
        reader = read_json_list(stream, "x")
        next(reader)
        # 20 MB in all; one piece was read so far.
        assert stream.tell() < 1 << 20
        assert sum(1 for _ in reader) == 19999
