"""Published weights: answers of the original network, architectures from shapes, bad files."""

import collections
import hashlib
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from attnseg.errors import InputError
from attnseg.mask_refine import MaskRefinementModel, RefineUNet
from attnseg.mask_refine.published import (
    Architecture,
    convert_file,
    convert_weights,
    infer_architecture,
    read_published,
    variant_of_name,
)
from tests.mask_refine.published_layout import forward, random_weights

REPO = Path(__file__).resolve().parents[2]
TINY = (16, 32)


def checkpoint(path: Path, weights: dict, **more: object) -> Path:
    """A file as Lightning writes it."""
    path.parent.mkdir(exist_ok=True)
    torch.save({"epoch": 5, "state_dict": collections.OrderedDict(weights), **more}, path)
    return path


def network_of(path: Path, architecture: Architecture) -> RefineUNet:
    config = dict(architecture.network())
    model = MaskRefinementModel({**config})
    model.load_state_dict(load_file(path))
    return model.network


def test_answers_of_the_original_network(data_root: Path | None, tmp_path: Path) -> None:
    folder = data_root.parent / "parity" if data_root else None
    if folder and (folder / "tiny16-32_reference.npz").is_file():
        source = folder / "tiny16-32_bce-dice.ckpt"
        reference = np.load(folder / "tiny16-32_reference.npz")
        x, wanted = (torch.from_numpy(reference[key])[None] for key in ("x", "logits"))
    else:
        weights = random_weights(TINY)
        source = checkpoint(tmp_path / "tiny16-32_bce-dice.ckpt", weights)
        x = torch.rand(1, 3, 97, 131, generator=torch.Generator().manual_seed(1))
        wanted = forward(weights, x, TINY)
    architecture = convert_file(source, tmp_path / "out.safetensors")
    assert architecture == Architecture("tiny", TINY)
    with torch.no_grad():
        answer = network_of(tmp_path / "out.safetensors", architecture)(x)
    torch.testing.assert_close(answer, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("variant", "widths", "count"),
    [
        ("tiny", TINY, 46),
        ("res", TINY, 46),
        ("tiny", (16, 32, 64, 128), 82),
        ("res", (32, 64, 128, 256), 82),
        ("attn", (32, 64, 128, 256), 130),
    ],
)
def test_every_variant_answers_as_published(
    variant: str, widths: tuple[int, ...], count: int
) -> None:
    named = random_weights(widths, gates=variant == "attn")
    assert len(named) == count
    weights = {key.removeprefix("model."): value for key, value in named.items()}
    architecture = infer_architecture(weights, None if variant == "attn" else variant)
    assert (architecture.variant, architecture.widths) == (variant, widths)
    config = architecture.network()
    assert config.pop("type") == "attnseg.RefineUNet"
    network = RefineUNet(**config)
    network.load_state_dict(convert_weights(weights, architecture))
    x = torch.rand(2, 3, 37, 51, generator=torch.Generator().manual_seed(0))
    x[:, 0] = (x[:, 0] > 0.5).float()
    with torch.no_grad():
        torch.testing.assert_close(
            network(x), forward(named, x, widths, variant == "res"), atol=1e-4, rtol=1e-4
        )
    assert architecture.config is not None
    assert (REPO / "configs" / architecture.config).is_file()


def test_widths_that_do_not_double_are_refused() -> None:
    weights = {key[6:]: value for key, value in random_weights((16, 48)).items()}
    with pytest.raises(InputError, match="has the shape"):
        convert_weights(weights, infer_architecture(weights, "tiny"))


def test_metadata_and_variant(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "weights.ckpt", random_weights(TINY))
    with pytest.raises(InputError, match="weights.ckpt: .*'tiny'.*'res'"):
        convert_file(source, tmp_path / "a.safetensors")
    convert_file(source, tmp_path / "a.safetensors", "res")
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["variant"] == "res" and metadata["widths"] == "16-32"
    assert metadata["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    with pytest.raises(FileExistsError):
        convert_file(source, tmp_path / "a.safetensors", "tiny")
    gated = checkpoint(tmp_path / "gated.ckpt", random_weights((16, 32), gates=True))
    with pytest.raises(InputError, match="attention gates"):
        convert_file(gated, tmp_path / "b.safetensors", "res")
    assert not (tmp_path / "b.safetensors").exists()


def test_variant_from_published_names_alone() -> None:
    assert variant_of_name("x/tiny16-32_bce-dice.ckpt") == "tiny"
    assert variant_of_name("/runs/res16-128-bound/best-checkpoint.ckpt") == "res"
    assert variant_of_name("/res/results/best.ckpt") is None
    assert variant_of_name("/x/attn32-256.ckpt") is None


class Foreign:
    """An object that a pickle could run code with."""


def bad_files(folder: Path) -> dict[str, Path]:
    good = checkpoint(folder / "tiny16-32.ckpt", random_weights(TINY))
    weights = random_weights(TINY)
    files = {
        "damaged": folder / "tiny16-32_cut.ckpt",
        "no checkpoint": folder / "tiny16-32_text.ckpt",
        "no 'state_dict'": folder / "tiny16-32_bare.ckpt",
        "beside tensors": checkpoint(folder / "tiny16-32_code.ckpt", weights, extra=Foreign()),
        "no weight of the published": checkpoint(
            folder / "tiny16-32_other.ckpt", {"model.conv1.weight": torch.zeros(1)}
        ),
        "1 missing": checkpoint(
            folder / "tiny16-32_less.ckpt",
            {k: v for k, v in weights.items() if k != "model.final_conv.bias"},
        ),
        "has the shape": checkpoint(
            folder / "tiny16-32_shape.ckpt", {**weights, "model.final_conv.bias": torch.zeros(2)}
        ),
        "not finite": checkpoint(
            folder / "tiny16-32_nan.ckpt",
            {**weights, "model.final_conv.bias": torch.tensor([float("nan")])},
        ),
        "no encoder": checkpoint(
            folder / "tiny16-32_half.ckpt", {"model.final_conv.bias": torch.zeros(1)}
        ),
        "num_groups": checkpoint(folder / "tiny16-32_odd.ckpt", random_weights((12, 24))),
    }
    data = good.read_bytes()
    files["damaged"].write_bytes(data[: len(data) // 2])
    files["no checkpoint"].write_text("<html>404</html>")
    torch.save(dict(weights), files["no 'state_dict'"])
    return files


def test_bad_files_are_refused_in_one_line(tmp_path: Path) -> None:
    for words, path in bad_files(tmp_path).items():
        with pytest.raises(InputError, match=words) as caught:
            convert_file(path, tmp_path / "out.safetensors")
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="none.ckpt"):
        read_published(tmp_path / "none.ckpt")
    assert not (tmp_path / "out.safetensors").exists()


def test_files_cut_anywhere_are_damaged(tmp_path: Path) -> None:
    data = checkpoint(tmp_path / "tiny16-32.ckpt", random_weights(TINY)).read_bytes()
    cut = tmp_path / "tiny16-32_cut.ckpt"
    for length in (0, 1, 4, 100, 5000, 20000, 70000, len(data) // 2, len(data) - 1):
        cut.write_bytes(data[:length])
        with pytest.raises(InputError, match="cut.ckpt: is damaged.*fetch the published file"):
            read_published(cut)


def test_other_kinds_of_files_are_told_apart(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "tiny16-32.ckpt", random_weights(TINY))
    convert_file(source, tmp_path / "out.safetensors")
    (tmp_path / "out.safetensors").rename(tmp_path / "renamed.ckpt")
    with pytest.raises(InputError, match="renamed.ckpt: is a safetensors file.*converted already"):
        read_published(tmp_path / "renamed.ckpt")
    with pytest.raises(InputError, match="is a folder.*the checkpoint"):
        read_published(tmp_path)
    for names, words in (
        (["conv1"], "'conv1' is no weight of the published network; expected"),
        (["conv1", "downs.0.x"], "network; expected"),
        (["conv1", "fc"], "network, nor is 1 other of 2; expected"),
        (["conv1", "fc", "bn"], "network, nor are 2 others of 3; expected"),
    ):
        other = checkpoint(tmp_path / "other.ckpt", dict.fromkeys(names, torch.zeros(1)))
        with pytest.raises(InputError, match=words):
            read_published(other)


def test_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = checkpoint(tmp_path / "res16-32" / "best.ckpt", random_weights(TINY))
    tool = str(REPO / "tools/convert_refine_weights.py")
    monkeypatch.setattr(sys, "argv", [tool, str(source), str(tmp_path / "out.safetensors")])
    runpy.run_path(tool, run_name="__main__")
    said = capsys.readouterr().out
    assert "widths=(16, 32), coarse_residual=True" in said
    assert "mask_refine/refine-unet_res16-32-bce-dice_1xb1-50e_coco-refinement-full.py" in said
    for given, out, words in (
        (source, "out.safetensors", "exists"),
        (source, "out.pth", "must end in .safetensors"),
        (tmp_path, "new.safetensors", "is a folder"),
    ):
        monkeypatch.setattr(sys, "argv", [tool, str(given), str(tmp_path / out)])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(tool, run_name="__main__")
        assert stop.value.code == 2
        assert words in capsys.readouterr().err
