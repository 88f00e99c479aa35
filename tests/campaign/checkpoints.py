"""Checkpoints: damaged, of other models, of other forms, and with code inside."""

import io
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import torch
from mmengine.runner import save_checkpoint
from safetensors.torch import load, save
from torch import Tensor, nn

from attnseg.apis.command import input_errors
from attnseg.engine.checkpoint import check_weights, load_weights
from attnseg.engine.checkpoint_files import newest_valid, read_meta
from attnseg.engine.initializers import AdaptedPretrained
from attnseg.mask_refine.published import convert_file
from tests.campaign.mutate import change_bytes
from tests.campaign.watch import Case
from tests.mask_refine.published_layout import random_weights

Weights = dict[str, Tensor]


class Call:
    """Pickled code: a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def model() -> nn.Module:
    """A small network with parameters and buffers."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


def cases(random: Random, folder: Path, demo: Path) -> Iterator[Case]:
    """Files, each for one reader; code in them would leave a marker."""
    torch.manual_seed(0)
    weights = model().state_dict()
    marker = folder / "executed"
    readers = _readers()
    for number in count():
        whole = number < len(readers)
        name = list(readers)[number] if whole else random.choice(list(readers))
        suffix, read, compared = readers[name]
        own = random_weights((16, 32)) if name == "convert_file" else weights
        what, data = "whole", _whole(own, suffix)
        if not whole and random.random() < 0.55:
            what, data = change_bytes(data, random)
        elif not whole:
            kinds = _kinds(own, marker, random)
            what = random.choice(list(kinds))
            data = kinds[what]()
            if suffix == ".safetensors" and isinstance(data, dict):
                data = save({k: v.contiguous() for k, v in data.items()})
            elif isinstance(data, dict):
                data = _saved({"state_dict": data, "meta": {}})
        place = folder / str(number)
        (place / "out").mkdir(parents=True)
        file = place / f"tiny16-32-iter_7{suffix}"
        file.write_bytes(data)
        yield Case(
            f"checkpoints/{number} {name}: {what}",
            lambda read=read, file=file, out=place / "out": read(file, out),
            ("iter_7",),
            lambda found, data=data, compared=compared: (
                "the code in it ran" if marker.exists()
                else same_weights(data, found) if compared and found is not None else None
            ),
            place / "out",
            whole,
        )  # fmt: skip
        if marker.exists():
            raise AssertionError(f"{name}: {what}: the code in the file was run")
        shutil.rmtree(place)


def _whole(weights: Weights, suffix: str) -> bytes:
    if suffix == ".safetensors":
        return save(weights)
    if suffix == ".sealed.pth":
        place = Path(os.environ.get("TMPDIR", "/tmp")) / f"sealed-{os.getpid()}.pth"
        save_checkpoint({"state_dict": weights, "meta": {"iter": 7}}, str(place))
        data = place.read_bytes()
        place.unlink()
        return data
    return _saved({"state_dict": weights, "meta": {"iter": 7}})


def _saved(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def _kinds(
    weights: Weights, marker: Path, random: Random
) -> dict[str, Callable[[], bytes | Weights]]:
    first = random.choice(list(weights))
    value = weights[first]
    others = {k: v for k, v in weights.items() if k != first}
    return {
        "missing key": lambda: others,
        "other key": lambda: {**others, f"x.{first}": value},
        "more keys": lambda: {**weights, "../../etc/passwd": torch.ones(3)},
        "other shape": lambda: {**weights, first: torch.ones(7, 7)},
        "half": lambda: {k: v.half() if v.is_floating_point() else v for k, v in weights.items()},
        "complex": lambda: {**weights, first: value.to(torch.complex64)},
        "text for a tensor": lambda: _saved({"state_dict": {**weights, first: "x"}}),
        "number for a key": lambda: _saved({"state_dict": {**weights, 7: value}}),
        "list": lambda: _saved([weights]),
        "nothing": lambda: _saved(None),
        "empty": lambda: _saved({"state_dict": {}}),
        "state_dict a list": lambda: _saved({"state_dict": list(weights.items())}),
        "state_dict a tensor": lambda: _saved({"state_dict": value}),
        "meta a text": lambda: _saved({"state_dict": weights, "meta": "iter"}),
        "meta of objects": lambda: _saved({"state_dict": others, "meta": {"experiment_name": []}}),
        "legacy": lambda: _saved({"state_dict": weights}, _use_new_zipfile_serialization=False),
        "pickle of code": lambda: pickle.dumps(Call(os.mkdir, str(marker))),
        "code in meta": lambda: _saved(
            {"state_dict": weights, "meta": Call(open, str(marker), "w")}
        ),
        "code as weights": lambda: _saved({"state_dict": Call(os.system, f"touch {marker}")}),
        "config as code": lambda: _saved(
            {"state_dict": weights, "meta": {"config": f"open({str(marker)!r}, 'w')"}}
        ),
        "getattr": lambda: _saved({"state_dict": weights, "x": Call(getattr, Path, "touch")}),
        "whole model": lambda: _saved(model()),
        "zip bomb": lambda: bomb(_saved({"state_dict": weights})),
        "compressed": lambda: _compressed(_saved({"state_dict": weights})),
        "expanded": lambda: _saved(
            {"state_dict": {**weights, first: torch.ones(1).expand(1 << 40)}}
        ),
        "huge header": lambda: struct.pack("<Q", 1 << 60) + b"{}",
    }


def _readers() -> dict[str, tuple[str, Callable[[Path, Path], Any], bool]]:
    def loads(file: Path, _: Path) -> Any:
        own = model()
        with input_errors(RuntimeError):
            load_weights(own, file)
        return own.state_dict()

    def starts(file: Path, _: Path) -> Any:
        with input_errors(RuntimeError):
            return None if check_weights(model(), file, strict=False) else None

    def resumes(file: Path, _: Path) -> Any:
        with input_errors(RuntimeError, LookupError):
            # As choose_checkpoint does, in a folder with this file alone.
            target = file.with_name("iter_7.pth")
            file.rename(target)
            try:
                found = newest_valid(target.parent)
            finally:
                target.rename(file)
            if found.path is not None:
                target = shutil.copy(file, target)
                read_meta(target)
        return None

    def initializes(file: Path, _: Path) -> Any:
        own = model()
        with input_errors(RuntimeError):
            AdaptedPretrained(str(file))(own)
        return None

    def converts(file: Path, out: Path) -> Any:
        with input_errors():
            convert_file(file, out / "converted.safetensors", "tiny")
        return None

    return {
        "load_weights": (".pth", loads, True),
        "load_weights of a sealed file": (".sealed.pth", loads, True),
        "load_weights of safetensors": (".safetensors", loads, True),
        "check_weights": (".pth", starts, False),
        "newest_valid": (".pth", resumes, False),
        "AdaptedPretrained": (".pth", initializes, False),
        "convert_file": (".ckpt", converts, False),
    }


def same_weights(data: bytes, found: Weights) -> str | None:
    """Compare with what torch and safetensors themselves read, and with the archive's checksums."""
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if broken := archive.testzip():
                return f"the checksum of {broken} differs"
    if data[:2] == b"PK" or data[:1] == b"\x80":
        plain = torch.load(io.BytesIO(data), weights_only=True)
        plain = plain.get("state_dict", plain)
    else:
        plain = load(data)
    for key, value in found.items():
        if key in plain and not torch.equal(value, plain[key].to(value.dtype)):
            return f"{key} differs"
    return None


def bomb(data: bytes) -> bytes:
    """An archive of torch whose largest part promises nearly 4 GiB."""
    changed = bytearray(_compressed(data))
    place, sizes = 0, []
    while (place := changed.find(b"PK\x01\x02", place)) >= 0:
        sizes.append((struct.unpack_from("<I", changed, place + 24)[0], place))
        place += 4
    struct.pack_into("<I", changed, max(sizes)[1] + 24, 0xFFFFFFF0)
    return bytes(changed)


def _compressed(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return buffer.getvalue()
