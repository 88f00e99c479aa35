"""Analysis of named modules: any torch model, and through the command line."""

import csv
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from attnseg.apis.dependency import (
    ModuleDependency,
    analyze_dependency,
    modules_of_class,
    write_report,
)
from attnseg.evaluation import long_range

TOOL = Path(__file__).resolve().parents[2] / "tools" / "analyze_dependency.py"


class Tokens(nn.Module):
    """Map to tokens (B, N, C), in a tuple as attention layers often return them."""

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return x.flatten(2).transpose(1, 2), None


class Tiny(nn.Module):
    """A map, tokens, a module that is never called and one that returns numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.attn1 = nn.Identity()
        self.tokens = Tokens()
        self.unused = nn.Identity()
        self.classify = nn.Flatten()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(self.attn1(x))
        self.tokens(x)
        return self.classify(x)


def images(batches: int = 2, size: tuple[int, int] = (16, 12)) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, *size, generator=generator) for _ in range(batches)]


def test_estimates_are_those_of_each_channel() -> None:
    batches = images()
    result = analyze_dependency(Tiny(), ["attn1"], batches, channels=None)[0]
    series = torch.cat(batches).double().flatten(2).flatten(0, 1).numpy()
    assert (result.images, result.length) == (4, 192)
    assert result.exponents["hurst"].tolist() == [long_range.hurst(s) for s in series]
    assert result.exponents["dfa"].tolist() == [long_range.dfa(s).exponent for s in series]
    slopes = [long_range.spectral_slope(s).exponent for s in series]
    assert result.exponents["beta"].tolist() == slopes
    mean = np.mean([long_range.autocorrelation(s) for s in series], axis=0)
    np.testing.assert_allclose(result.curves["autocorrelation"], [range(len(mean)), mean])
    row = result.row()
    assert row["beta_mean"] == pytest.approx(np.mean(slopes))
    assert row["beta_sd"] == pytest.approx(np.std(slopes, ddof=1))
    assert row["beta_n"] == 12


def test_tokens_and_maps_of_the_same_values_agree() -> None:
    a, b = analyze_dependency(Tiny(), ["attn1", "tokens"], images(), channels=None)
    for name, values in a.exponents.items():
        np.testing.assert_array_equal(values, b.exponents[name])


def test_scan_by_columns_is_the_scan_of_the_transposed_image_by_rows() -> None:
    turned = [batch.mT for batch in images()]
    by_column = analyze_dependency(Tiny(), ["attn1"], images(), channels=None, scan="column")[0]
    by_row = analyze_dependency(Tiny(), ["attn1"], turned, channels=None)[0]
    np.testing.assert_array_equal(by_column.exponents["dfa"], by_row.exponents["dfa"])


def test_channels_follow_seed_and_name_only() -> None:
    def run(names: list[str], seed: int) -> list[float]:
        results = analyze_dependency(Tiny(), names, images(1), channels=1, seed=seed)
        return results[-1].exponents["hurst"].tolist()

    assert run(["attn1"], 0) == run(["tokens", "attn1"], 0)
    assert len({tuple(run(["attn1"], seed)) for seed in range(8)}) == 3


def test_max_images_stops_in_the_middle_of_a_batch_and_reads_no_further() -> None:
    read = []

    def batches():
        for batch in images(4):
            read.append(batch)
            yield batch

    result = analyze_dependency(Tiny(), ["attn1"], batches(), max_images=3, channels=2)[0]
    assert result.images == 3
    assert len(result.exponents["hurst"]) == 6
    assert len(read) == 2


def test_images_of_several_sizes() -> None:
    batches = [*images(2), *images(1, size=(10, 10))]
    result = analyze_dependency(Tiny(), ["attn1"], batches, channels=None)[0]
    assert (result.images, result.length) == (6, 192)
    assert result.curves["autocorrelation"].shape == (2, 49)


def test_a_module_that_runs_twice_counts_its_images_once() -> None:
    relu = nn.ReLU()
    result = analyze_dependency(nn.Sequential(relu, relu), ["0"], images(1), channels=None)[0]
    assert result.images == 2
    assert len(result.exponents["dfa"]) == 12


def test_the_model_is_left_as_it_was() -> None:
    model = Tiny().train()
    model.dropout.eval()
    analyze_dependency(model, ["attn1"], images(1))
    assert model.training
    assert not model.dropout.training
    assert not model.attn1._forward_hooks
    with pytest.raises(ValueError, match="classify"):
        analyze_dependency(model, ["classify"], images(1))
    assert model.training
    assert not model.classify._forward_hooks


def test_constant_maps_have_no_exponents_but_a_report(tmp_path: Path) -> None:
    result = analyze_dependency(Tiny(), ["attn1"], [torch.ones(1, 3, 16, 16)])
    row = result[0].row()
    assert (row["hurst_n"], row["dfa_n"], row["beta_n"]) == (0, 0, 0)
    assert np.isnan(row["hurst_mean"])
    write_report(result, tmp_path)
    assert "nan" in (tmp_path / "dependency.md").read_text()


def test_report_holds_the_rows_and_readable_figures(tmp_path: Path) -> None:
    results = analyze_dependency(Tiny(), ["attn1", "tokens"], images())
    files = write_report(results, tmp_path / "new" / "folder")
    assert [f.name for f in files] == [
        "dependency.csv",
        "dependency.md",
        "attn1.png",
        "attn1_curves.csv",
        "tokens.png",
        "tokens_curves.csv",
        "summary.png",
    ]
    assert sorted(f.name for f in files[0].parent.iterdir()) == sorted(f.name for f in files)
    with files[0].open() as file:
        rows = list(csv.DictReader(file))
    assert [row["module"] for row in rows] == ["attn1", "tokens"]
    assert float(rows[0]["dfa_mean"]) == results[0].row()["dfa_mean"]
    assert files[1].read_text().count("\n") == 4
    for picture in (file for file in files if file.suffix == ".png"):
        assert cv2.imread(str(picture)).std() > 0


def test_curves_and_autocorrelation_of_a_known_process_are_in_the_files(tmp_path: Path) -> None:
    """AR(1) with phi = 0.8: 0.8 at lag 1, and 0.8^5 = 0.328 is the first below 1/e = 0.368."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, 8, 4096))
    series = np.zeros_like(noise)
    for i in range(1, noise.shape[-1]):
        series[..., i] = 0.8 * series[..., i - 1] + noise[..., i]
    tokens = torch.from_numpy(series).float().unsqueeze(2)
    results = analyze_dependency(nn.Sequential(nn.Identity()), ["0"], [tokens])
    row = results[0].row()
    assert row["acf_lag1"] == pytest.approx(0.8, abs=0.01)
    assert row["acf_decay_lag"] == 5
    write_report(results, tmp_path)
    with (tmp_path / "dependency.csv").open() as file:
        assert next(csv.DictReader(file))["acf_decay_lag"] == "5"
    assert f"| {row['acf_lag1']:.3f} | 5 |" in (tmp_path / "dependency.md").read_text()
    with (tmp_path / "0_curves.csv").open() as file:
        points = [(r["curve"], float(r["x"]), float(r["y"])) for r in csv.DictReader(file)]
    correlation = [(x, y) for curve, x, y in points if curve == "autocorrelation"]
    np.testing.assert_allclose(np.transpose(correlation), results[0].curves["autocorrelation"])
    for name in ("dfa", "psd"):
        curve = np.transpose([(x, y) for kind, x, y in points if kind == name])
        np.testing.assert_allclose(np.log(curve), results[0].curves[name], atol=1e-12)


def test_autocorrelation_that_never_decays_has_no_lag() -> None:
    none = {name: np.empty(0) for name in ("hurst", "dfa", "beta")}
    slow = np.array([[0.0, 1.0, 2.0], [1.0, 0.9, 0.5]])
    row = ModuleDependency("slow", 1, 8, none, {"autocorrelation": slow}).row()
    assert row["acf_lag1"] == 0.9 and np.isnan(row["acf_decay_lag"])
    row = ModuleDependency("flat", 1, 8, none, {"autocorrelation": np.empty((2, 0))}).row()
    assert np.isnan(row["acf_lag1"]) and np.isnan(row["acf_decay_lag"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["atn1"], r"Tiny has no module 'atn1' \(close: attn1.*attention-like modules: attn1"),
        (["unused"], "'unused' was not called"),
        (["classify"], r"'classify' returns \(2, 576\)"),
        ([], "name one module or more"),
        ("attn1", "name one module or more in a list, got 'attn1'"),
    ],
)
def test_bad_names(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        analyze_dependency(Tiny(), names, images(1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(batches=[]), "no batches"),
        (dict(batches=images(1), channels=0), "channels"),
        (dict(batches=images(1), max_images=0), "max_images"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        analyze_dependency(Tiny(), ["attn1"], **arguments)


def test_report_without_results(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no results"):
        write_report([], tmp_path)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A tiny mmseg model with mask attention on three generated images."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(3):
        image = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), image)
        cv2.imwrite(str(tmp_path / "masks" / f"{i}.png"), image[..., 0] // 128)
    path = tmp_path / "tiny.py"
    path.write_text(
        f"""
default_scope = 'mmseg'
norm = dict(type='BN')
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[127] * 3, std=[60] * 3, size_divisor=8),
    backbone=dict(
        type='ResNet', depth=50, num_stages=1, strides=(1, ), dilations=(1, ), out_indices=(0, ),
        stem_channels=8, base_channels=8, norm_cfg=norm,
        plugins=[dict(
            cfg=dict(type='attnseg.MaskAttention', num_heads=2),
            stages=(True, ), position='after_conv2')]),
    decode_head=dict(
        type='FCNHead', in_channels=32, in_index=0, channels=32, num_convs=0,
        concat_input=False, num_classes=2, norm_cfg=norm),
    test_cfg=dict(mode='whole'))
val_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BaseSegDataset', data_root={str(tmp_path)!r},
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        img_suffix='.png', metainfo=dict(classes=('a', 'b')),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]))
"""
    )
    return path


def run_tool(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name="__main__")


def test_command_line(config: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    out = tmp_path / "report"
    modules = ["--modules", "backbone.layer1", "decode_head.conv_seg"]
    run_tool(monkeypatch, config, *modules, "--num-images", 3, "--channels", 2, "--out", out)
    printed = capsys.readouterr()
    assert "untrained" in printed.out
    assert "| backbone.layer1 | 3 | 64 |" in printed.out
    assert "analysing: 100%" in printed.err
    with (out / "dependency.csv").open() as file:
        assert [row["hurst_n"] for row in csv.DictReader(file)] == ["6", "6"]
    assert (out / "backbone.layer1.png").is_file()


def test_command_line_with_a_checkpoint_takes_every_mask_attention(
    config: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    from mmengine.config import Config
    from mmseg.registry import MODELS

    init_default_scope("mmseg")
    model = MODELS.build(Config.fromfile(config).model)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    run_tool(
        monkeypatch, config, tmp_path / "weights.pth", "--num-images", 1, "--out", tmp_path / "out"
    )
    printed = capsys.readouterr().out
    assert "untrained" not in printed
    assert [line.split()[1] for line in printed.splitlines() if "mask_attn" in line] == (
        modules_of_class(model)
    )
    assert len(modules_of_class(model)) == 3


def test_command_line_names_what_is_wrong(config: Path, monkeypatch, capsys) -> None:
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, config, "--modules", "backbone.layer9")
    assert "close: backbone.layer" in capsys.readouterr().err


def test_command_line_without_the_data(config: Path, monkeypatch, capsys) -> None:
    option = "val_dataloader.dataset.data_root=no/such/folder"
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, config, "--cfg-options", option)
    assert "no/such/folder" in capsys.readouterr().err


def test_default_modules_are_those_of_a_class() -> None:
    model = nn.ModuleDict(dict(a=Tokens(), b=nn.ModuleList([nn.ReLU(), Tokens()])))
    assert modules_of_class(model, "Tokens") == ["a", "b.1"]
    assert modules_of_class(model) == []
