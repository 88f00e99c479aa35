"""attnseg.AdaptedPretrained: first layers of other channels, names, order, bad files."""

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.model import BaseModule, ImgDataPreprocessor, initialize
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import conv2d

from attnseg.engine import initializers
from attnseg.engine.initializers import adapt_input_channels

TYPE = "attnseg.AdaptedPretrained"
RESNET = {"type": "ResNet", "depth": 18, "norm_eval": False}
SWIN = {
    "type": "SwinTransformer",
    "embed_dims": 12,
    "depths": (1, 1, 1, 1),
    "num_heads": (1, 2, 2, 2),
    "window_size": 3,
}


@pytest.fixture(autouse=True)
def _mmdet_scope():
    register_all_modules(init_default_scope=True)


@pytest.fixture
def logged(monkeypatch):
    lines = []
    monkeypatch.setattr(
        initializers, "print_log", lambda message, _, level: lines.append((level, message))
    )
    return lines


def randomised(config):
    """A model with random weights and statistics, as a trained one has."""
    torch.manual_seed(0)
    model = MODELS.build(config)
    model.eval()
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) * 0.1 + 0.05 * (value.ndim == 1))
    return model


def pretrained(path, config=RESNET):
    """Write the weights of a model of 3 channels, with the classifier of an ImageNet file."""
    model = randomised(config)
    weights = {**model.state_dict(), "fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}
    torch.save(weights, path)
    return model


def init_cfg(path, **kwargs):
    return {"type": TYPE, "checkpoint": str(path), **kwargs}


@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 999))
def test_gray_image_keeps_its_response(channels, old, seed):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(6, old, 3, 5, generator=generator, dtype=torch.float64)
    gray = torch.randn(2, 1, 9, 8, generator=generator, dtype=torch.float64)
    adapted = adapt_input_channels(weight, channels)
    assert adapted.shape == (6, channels, 3, 5)
    expected = conv2d(gray.expand(-1, old, -1, -1), weight)
    found = conv2d(gray.expand(-1, channels, -1, -1), adapted)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    # Kernels in the other order of colours, on gray: the same.
    flipped = conv2d(
        gray.expand(-1, channels, -1, -1), adapt_input_channels(weight.flip(1), channels)
    )
    torch.testing.assert_close(flipped, expected, rtol=0, atol=1e-12)


def test_adapted_kernels_in_numbers():
    weight = torch.tensor([3.0, 6.0, 12.0]).reshape(1, 3, 1, 1)

    def kernels(channels):
        return adapt_input_channels(weight, channels).flatten().tolist()

    assert kernels(1) == [21]
    assert kernels(2) == pytest.approx([8.25, 12.75])  # 4.5 and 9, and 7.5 that were left
    assert kernels(3) == [3, 6, 12]
    assert kernels(5) == pytest.approx([2.4, 4.2, 7.8, 2.4, 4.2])  # times 3/5, and 3 left
    assert kernels(6) == pytest.approx([1.5, 3, 6, 1.5, 3, 6])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_are_summed_in_float32(dtype):
    weight = torch.randn(4, 3, 7, 7).to(dtype)
    adapted = adapt_input_channels(weight, 1)
    assert adapted.dtype == dtype
    torch.testing.assert_close(adapted, weight.float().sum(1, keepdim=True).to(dtype))


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_resnet_sees_gray_as_before(tmp_path, channels, suffix, logged):
    path = tmp_path / f"r18{suffix}"
    old = pretrained(tmp_path / "r18.pth")
    if suffix == ".safetensors":
        save_file(torch.load(tmp_path / "r18.pth", weights_only=True), path)
    new = MODELS.build({**RESNET, "in_channels": channels, "init_cfg": init_cfg(path)})
    new.init_weights()
    new.eval()
    gray = torch.randn(2, 1, 37, 50)
    with torch.no_grad():
        expected = old(gray.expand(-1, 3, -1, -1))
        found = new(gray.expand(-1, channels, -1, -1))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    text = " ".join(message for _, message in logged)
    assert (f"conv1.weight adapted from 3 to {channels} input" in text) == (channels != 3)
    # The classifier of the file and the counters of BatchNorm are no news.
    assert all(level == logging.INFO for level, _ in logged)


def test_detector_gives_swin_its_weights(tmp_path):
    """SwinTransformer reads its own init_cfg, so the parent has to hand the weights on."""
    old = randomised({**SWIN})
    torch.save(
        {"state_dict": {f"backbone.{k}": v for k, v in old.state_dict().items()}},
        tmp_path / "a.pth",
    )

    class Parent(BaseModule):
        def __init__(self, cfg):
            super().__init__(cfg)
            self.backbone = MODELS.build({**SWIN, "in_channels": 1})

    cfg = init_cfg(tmp_path / "a.pth", prefix="backbone.", module="backbone")
    new = Parent(cfg)
    new.init_weights()
    new.eval()
    gray = torch.randn(1, 1, 40, 33)
    with torch.no_grad():
        expected, found = old(gray.expand(-1, 3, -1, -1)), new.backbone(gray)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_original_swin_file_is_converted(tmp_path):
    from mmdet.models.backbones.swin import swin_converter

    kernel = torch.randn(12, 3, 4, 4)
    torch.save(
        {"model": {"patch_embed.proj.weight": kernel, "head.weight": torch.ones(3, 2)}},
        tmp_path / "a.pth",
    )
    model = nn.Module()
    model.backbone = MODELS.build({**SWIN, "in_channels": 2})
    converter = f"{swin_converter.__module__}.{swin_converter.__name__}"
    cfg = init_cfg(tmp_path / "a.pth", prefix="backbone.", module="backbone", converter=converter)
    initialize(model, cfg)
    found = model.backbone.patch_embed.projection.weight
    torch.testing.assert_close(found, adapt_input_channels(kernel, 2))


class Ours(BaseModule):
    """Children that initialise themselves, as mmcv's ConvModule, and part of them in a list."""

    def __init__(self, in_channels, init_cfg=None):
        super().__init__(init_cfg)
        self.stem = ConvModule(in_channels, 4, 3, norm_cfg={"type": "BN"})
        self.body = Part()


class Part(BaseModule):
    def __init__(self):
        super().__init__({"type": "Constant", "layer": "Conv2d", "val": 7.0})
        self.conv = nn.Conv2d(4, 4, 1)


@pytest.mark.parametrize("channels", [2, 3])
def test_children_do_not_overwrite_the_loaded_weights(tmp_path, channels):
    old = Ours(3)
    torch.save(old.state_dict(), tmp_path / "a.pth")
    new = Ours(channels, init_cfg(tmp_path / "a.pth"))
    new.init_weights()
    expected = adapt_input_channels(old.stem.conv.weight, channels)
    torch.testing.assert_close(new.stem.conv.weight, expected)
    torch.testing.assert_close(new.body.conv.weight, old.body.conv.weight)


def test_children_that_the_file_lacks_are_initialised(tmp_path, logged):
    weights = {k: v for k, v in Ours(3).state_dict().items() if k.startswith("stem")}
    torch.save({"state_dict": weights}, tmp_path / "a.pth")
    new = Ours(2, init_cfg(tmp_path / "a.pth"))
    new.init_weights()
    assert (new.body.conv.weight == 7).all()
    warned = [message for level, message in logged if level == logging.WARNING]
    assert len(warned) == 1 and "2 not in the file" in warned[0]
    assert "body.conv.weight (4, 4, 1, 1)" in warned[0]


def test_what_does_not_fit_is_reported_with_both_shapes(tmp_path, logged):
    weights = Ours(3).state_dict()
    weights["body.conv.weight"] = torch.zeros(9, 4, 1, 1)
    weights["neck.conv.weight"] = torch.zeros(2)
    torch.save(weights, tmp_path / "a.pth")
    initialize(Ours(1), init_cfg(tmp_path / "a.pth"))
    warned = [message for level, message in logged if level == logging.WARNING]
    assert len(warned) == 2
    assert "body.conv.weight (9, 4, 1, 1) in the file, in the model (4, 4, 1, 1)" in warned[0]
    assert "1 of the file not in the model: neck.conv.weight (2,)" in warned[1]


def test_two_first_layers_are_refused(tmp_path):
    weights = Ours(3).state_dict()
    weights["body.conv.weight"] = torch.zeros(4, 8, 1, 1)
    torch.save(weights, tmp_path / "a.pth")
    with pytest.raises(
        RuntimeError, match=r"a\.pth: 2 weights of Ours differ .*stem\.conv\.weight"
    ):
        initialize(Ours(1), init_cfg(tmp_path / "a.pth"))


def test_only_the_first_convolution_is_adapted(tmp_path, logged):
    weights = Ours(3).state_dict()
    weights["body.conv.weight"] = torch.zeros(4, 8, 1, 1)
    torch.save(weights, tmp_path / "a.pth")
    initialize(Ours(3), init_cfg(tmp_path / "a.pth"))
    warned = [message for level, message in logged if level == logging.WARNING]
    assert len(warned) == 1 and "1 of another shape, not loaded: body.conv.weight" in warned[0]


def test_nothing_that_fits_names_the_prefix(tmp_path):
    weights = {f"backbone.{key}": value for key, value in Ours(3).state_dict().items()}
    torch.save(weights, tmp_path / "a.pth")
    with pytest.raises(
        RuntimeError, match=r"not one weight fits Ours.*begin with backbone\.,.*body\., stem\."
    ):
        initialize(Ours(1), init_cfg(tmp_path / "a.pth"))
    with pytest.raises(RuntimeError, match=r"no weight begins with prefix 'encoder\.'.*backbone\."):
        initialize(Ours(1), init_cfg(tmp_path / "a.pth", prefix="encoder"))
    initialize(Ours(1), init_cfg(tmp_path / "a.pth", prefix="backbone"))


@pytest.mark.parametrize("checkpoint", ["torchvision://resnet50", "https://host/r50.pth"])
def test_nothing_is_downloaded(checkpoint):
    with pytest.raises(ValueError, match=f"{checkpoint}: .*local files only"):
        initialize(Ours(1), init_cfg(checkpoint))


def test_missing_and_unsafe_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        initialize(Ours(1), init_cfg(tmp_path / "none.pth"))
    torch.save({"state_dict": {}}, tmp_path / "empty.pth")
    with pytest.raises(RuntimeError, match=r"empty\.pth: holds no weights"):
        initialize(Ours(1), init_cfg(tmp_path / "empty.pth"))
    torch.save(ImgDataPreprocessor(), tmp_path / "code.pth")
    with pytest.raises(RuntimeError, match=r"code\.pth: not a plain weights file"):
        initialize(Ours(1), init_cfg(tmp_path / "code.pth"))


class Tokens(nn.Module):
    """Parameters of more than two dimensions in front of the first convolution, as in ViT."""

    def __init__(self, channels, tokens, stem=nn.Conv2d):
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, 4))
        self.patch = stem(channels, 4, 2)
        self.table = nn.Parameter(torch.zeros(2, tokens, 3))


def test_positions_are_no_first_layer(tmp_path, logged):
    old = Tokens(3, 5)
    torch.save(old.state_dict(), tmp_path / "a.pth")
    new = Tokens(2, 7)
    initialize(new, init_cfg(tmp_path / "a.pth"))
    torch.testing.assert_close(new.patch.weight, adapt_input_channels(old.patch.weight, 2))
    (warned,) = [message for level, message in logged if level == logging.WARNING]
    assert "2 of another shape, not loaded: pos_embed (1, 5, 4) in the file" in warned


def test_transposed_and_grouped_convolutions_are_not_adapted(tmp_path):
    for stem in (nn.ConvTranspose2d, lambda c, *_: nn.Conv2d(8, 8, 1, groups=2 ** (c - 1))):
        old, new = Tokens(3, 5, stem), Tokens(2, 5, stem)
        before = new.patch.weight.clone()
        torch.save(old.state_dict(), tmp_path / "a.pth")
        initialize(new, init_cfg(tmp_path / "a.pth"))
        torch.testing.assert_close(new.patch.weight, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *[({"converter": name}, "is no function") for name in ("no.such.f", "torch.nothing", "x")],
        ({"converter": "torch.pi"}, "is no function"),
        ({"module": "neck"}, "is no submodule of Ours; its children are stem, body"),
    ],
)
def test_wrong_names_of_code_are_named(tmp_path, options, message):
    torch.save(Ours(3).state_dict(), tmp_path / "a.pth")
    ((key, value),) = options.items()
    with pytest.raises(ValueError, match=rf"a\.pth: .*{key}='{value}'\) {message}"):
        initialize(Ours(1), init_cfg(tmp_path / "a.pth", **options))


def test_numbers_beside_flat_weights_are_passed_over(tmp_path):
    old = Ours(3)
    torch.save({**old.state_dict(), "epoch": 7}, tmp_path / "a.pth")
    new = Ours(3, init_cfg(tmp_path / "a.pth"))
    new.init_weights()
    torch.testing.assert_close(new.stem.conv.weight, old.stem.conv.weight)
    torch.save({"weights": dict(old.state_dict()), "epoch": 7}, tmp_path / "b.pth")
    with pytest.raises(RuntimeError, match="holds no weights: its keys are epoch, weights;"):
        initialize(Ours(3), init_cfg(tmp_path / "b.pth"))


@pytest.mark.parametrize(
    ("model", "file", "blocks"),
    [
        (50, 18, "layer1 has 2 blocks in the file and 3 in the model"),
        (101, 50, "layer3 has 6 blocks in the file and 23 in the model"),
        (50, 101, "layer3 has 23 blocks in the file and 6 in the model"),
    ],
)
def test_a_file_of_another_depth_is_questioned(tmp_path, logged, model, file, blocks):
    thin = {**RESNET, "base_channels": 4, "stem_channels": 4}
    weights = {**MODELS.build({**thin, "depth": file}).state_dict(), "fc.weight": torch.ones(2)}
    torch.save(weights, tmp_path / "a.pth")
    initialize(MODELS.build({**thin, "depth": model}), init_cfg(tmp_path / "a.pth"))
    (hint,) = [m for level, m in logged if level == logging.WARNING and m.endswith("depth?")]
    assert blocks in hint and "is the file of the same architecture and depth?" in hint
    # 77 of 265 weights fit by name and shape; of the two others half and more.
    assert ("most weights of the model are not in the file (77 of 265 fit)" in hint) == (file == 18)


def test_half_of_the_weights_is_no_matter_of_a_hint(tmp_path, logged):
    def weights(count):
        return {f"w{i}": torch.zeros(2) for i in range(count)}

    model = nn.Module()
    for name, value in weights(4).items():
        model.register_buffer(name, value)
    # A counter of BatchNorm is not counted.
    model.register_buffer("num_batches_tracked", torch.zeros(()))
    for count, hints in ((3, 0), (2, 0), (1, 1)):
        logged.clear()
        torch.save(weights(count), tmp_path / "a.pth")
        initialize(model, init_cfg(tmp_path / "a.pth"))
        found = [m for _, m in logged if "most weights of the model" in m]
        assert len(found) == hints
    assert "(1 of 4 fit): is the file" in found[0]
