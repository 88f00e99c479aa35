import logging
from pathlib import Path

import pytest
import torch
from mmdet.models import ResNet
from mmseg.models import ResNet as SegmentationResNet
from torch import Tensor, nn

from attnseg.cspam_solov2 import CSPAMResNet, PositionAttentionModule, backbone
from attnseg.cspam_solov2.backbone import Mish
from attnseg.engine import initializers
from attnseg.engine.complexity import count
from attnseg.registry import MODELS


def small(depth: int = 50, **arguments: object) -> CSPAMResNet:
    torch.manual_seed(0)
    return CSPAMResNet(depth, **{"base_channels": 16, **arguments})


def shapes(model: nn.Module, x: Tensor) -> list[tuple[int, ...]]:
    model.eval()
    with torch.no_grad():
        return [tuple(m.shape) for m in model(x)]


@pytest.mark.parametrize(
    ("depth", "arguments"),
    [
        (18, {}),
        (34, {}),
        (50, {}),
        (101, {"out_indices": (1, 3)}),
        (50, {"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)}),
        (50, {"deep_stem": True, "avg_down": True, "in_channels": 4}),
        (50, {"style": "caffe", "norm_cfg": {"type": "GN", "num_groups": 2}}),
        (50, {"num_stages": 3, "strides": (1, 2, 2), "dilations": (1, 1, 1)}),
    ],
)
def test_maps_have_the_shapes_of_resnet_for_odd_images(depth: int, arguments: dict) -> None:
    if arguments.get("num_stages") == 3:
        arguments = {**arguments, "out_indices": (0, 1, 2)}
        ours = small(depth, attention_stages=(2,), **arguments)
    else:
        ours = small(depth, **arguments)
    x = torch.rand(2, arguments.get("in_channels", 3), 75, 117)
    assert shapes(ours, x) == shapes(ResNet(depth, base_channels=16, **arguments), x)


@pytest.mark.parametrize(
    ("depth", "orders"),
    [
        (18, ["A0", "A0"]),
        (34, ["01A234", "0A1"]),
        (50, ["01A234", "0A1"]),
        (101, ["0123456789" + "10" + "A" + "".join(map(str, range(11, 22))), "0A1"]),
    ],
)
def test_attention_stands_between_the_blocks(depth: int, orders: list[str]) -> None:
    model = small(depth)
    names = [[n for n, _ in stage[1].blocks.named_children()] for stage in stages(model)]
    assert not any("attention" in order for order in names[:2])
    assert ["".join(order).replace("attention", "A") for order in names[2:]] == orders
    one = small(depth, attention_stages=(1,), attention={"scale": "sqrt", "reduction": 4})
    modules = [stage[1].blocks._modules.get("attention") for stage in stages(one)]
    assert [m is not None for m in modules] == [False, True, False, False]
    assert modules[1].scale == modules[1].p.out_channels ** -0.5
    assert modules[1].p.in_channels == 4 * modules[1].p.out_channels


def stages(model: CSPAMResNet) -> list[nn.Sequential]:
    return [getattr(model, name) for name in model.res_layers]


@pytest.mark.parametrize("arguments", [{}, {"deep_stem": True}])
def test_mish_stands_where_resnet_has_relu(arguments: dict) -> None:
    def kinds(model: nn.Module, kind: type) -> int:
        return sum(isinstance(m, kind) for m in model.modules())

    model = small(**arguments)
    # A ReLU of each block and of the stem, and the activation of each transition.
    expected = kinds(ResNet(50, base_channels=16, **arguments), nn.ReLU) + 4
    assert (kinds(model, nn.Mish), kinds(model, nn.ReLU)) == (expected, 0)
    assert kinds(small(act_cfg={"type": "GELU"}, **arguments), nn.GELU) == expected


def test_mish_overwrites_its_input_only_without_gradients() -> None:
    x = torch.randn(50, dtype=torch.float64, requires_grad=True)
    expected = x * torch.tanh(torch.log1p(torch.exp(x)))
    for inplace in (True, False):
        layer, leaf = Mish(inplace=inplace), x.detach().clone()
        assert torch.autograd.gradcheck(layer, x)
        with torch.no_grad():
            assert torch.allclose(layer(leaf), expected)
        assert torch.equal(leaf, x) != inplace


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_multiplications_are_below_those_of_resnet(depth: int) -> None:
    """The paper claims less computation; at its size of 1200x680, attention included."""
    with torch.device("meta"):
        x = torch.empty(1, 3, 680, 1200)
        ours, theirs = (count(make(depth), x) for make in (CSPAMResNet, ResNet))
    assert ours.macs < 0.8 * theirs.macs and ours.params < theirs.params


def test_with_theta_and_t2_at_zero_it_is_the_backbone_without_attention() -> None:
    model, plain = small(), small(attention_stages=())
    model.init_weights()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # the last of each block starts at zero
            nn.init.uniform_(module.weight, 0.5, 1.5)
    unfit = plain.load_state_dict(model.state_dict(), strict=False)
    assert not unfit.missing_keys
    assert {k.split(".attention.")[0] for k in unfit.unexpected_keys} == {
        "layer3.1.blocks",
        "layer4.1.blocks",
    }
    x = torch.rand(2, 3, 64, 96)
    for mode in (True, False):
        model.train(mode)
        plain.train(mode)
        with torch.no_grad():
            for a, b in zip(model(x), plain(x), strict=True):
                assert torch.equal(a, b)


def test_every_parameter_learns_after_one_step() -> None:
    model = small(18)
    model.init_weights()
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x = torch.rand(2, 3, 64, 96)
    for _ in range(2):
        optimizer.zero_grad()
        sum((m * torch.randn_like(m)).mean() for m in model(x)).backward()
        optimizer.step()
    silent = [n for n, p in model.named_parameters() if not p.grad.abs().max() > 0]
    assert not silent
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_checkpointing_changes_no_gradient() -> None:
    x = torch.rand(2, 3, 64, 64)
    grads = []
    for with_cp in (False, True):
        model = small(with_cp=with_cp)
        for module in model.modules():
            if isinstance(module, PositionAttentionModule):
                nn.init.constant_(module.t2.weight, 0.1)
        model.eval()
        sum(m.square().mean() for m in model(x)).backward()
        grads.append([p.grad for p in model.parameters()])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*grads, strict=True))


def test_frozen_stages_and_norms_are_as_in_resnet() -> None:
    model = small(frozen_stages=1, norm_eval=True)
    model.train()
    trained = {n.split(".")[0] for n, p in model.named_parameters() if p.requires_grad}
    assert trained == {"layer2", "layer3", "layer4"}
    assert not any(m.training for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    model = small()
    model.train()
    assert all(m.training for m in model.modules() if isinstance(m, nn.BatchNorm2d))


def test_modes_can_be_chained() -> None:
    model = small(18)
    assert model.eval() is model and not model.training
    assert model.train() is model and model.training


def test_settings_that_suit_only_weights_of_its_own_are_warned_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A config of mmdet whose ResNet is exchanged keeps ``frozen_stages=1, norm_eval=True``."""
    lines = []
    monkeypatch.setattr(backbone, "print_log", lambda *line: lines.append(line))
    small(frozen_stages=0)
    assert not lines
    small(frozen_stages=1, norm_eval=True)
    [(message, _, level)] = lines
    assert message.startswith("CSPAMResNet with frozen_stages=1 and norm_eval=True: ResNet's")
    assert level == logging.WARNING


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_finite(dtype: torch.dtype) -> None:
    model = small()
    model.init_weights()
    for module in model.modules():
        if isinstance(module, PositionAttentionModule):
            nn.init.normal_(module.t2.weight)
            nn.init.constant_(module.theta, 1)
    with torch.autocast("cpu", dtype):
        maps = model(200 * torch.randn(2, 3, 64, 96))
    sum(m.float().mean() for m in maps).backward()
    assert all(m.isfinite().all() for m in maps)
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.fixture
def imagenet_file(tmp_path: Path) -> tuple[Path, dict[str, Tensor]]:
    """Weights with the names of torchvision's ResNet-50, whose shapes are ResNet's."""
    model = ResNet(50)
    generator = torch.Generator().manual_seed(1)
    weights = {
        k: torch.rand(v.shape, generator=generator) if v.is_floating_point() else v
        for k, v in model.state_dict().items()
    }
    weights |= {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    path = tmp_path / "resnet50.pth"
    torch.save(weights, path)
    return path, weights


def test_imagenet_weights_load_where_they_fit(
    imagenet_file: tuple[Path, dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, weights = imagenet_file
    lines = []
    monkeypatch.setattr(
        initializers, "print_log", lambda message, _, level: lines.append((level, message))
    )
    model = MODELS.build(
        {
            "type": "attnseg.CSPAMResNet",
            "depth": 50,
            "init_cfg": {"type": "attnseg.AdaptedPretrained", "checkpoint": str(path)},
        }
    )
    model.init_weights()
    state = model.state_dict()
    ours = {"conv1", "bn1", *(f"layer{i}.0" for i in range(1, 5))}
    for key, value in weights.items():
        block = ".".join(key.split(".")[: 2 if key.startswith("layer") else 1])
        if block in ours:
            assert torch.equal(state[key], value), key
    # What no file gives starts as ResNet does from scratch, and attention as the identity.
    conv = state["layer3.1.blocks.0.conv2.weight"]
    assert conv.std() == pytest.approx((2 / (9 * conv.shape[0])) ** 0.5, rel=0.02)
    assert not state["layer3.1.blocks.0.bn3.weight"].any()
    assert not state["layer3.1.blocks.attention.t2.weight"].any()
    told = [message for _, message in lines]
    fitting = sum(k in weights for k in state)
    assert any(f"{fitting} of {len(state)} weights of CSPAMResNet loaded" in t for t in told)
    warned = [message for level, message in lines if level == logging.WARNING]
    assert len(warned) == 3
    assert "not in the file, left as initialised: layer1.1.blocks.0.conv1.weight" in warned[0]
    assert "of the file not in the model: layer1.1.conv1.weight" in warned[1]
    assert "is the file of the same architecture and depth?" in warned[2]
    assert not any("fc." in message for message in told)


@pytest.mark.parametrize("kind", ["Pretrained", "attnseg.AdaptedPretrained", "pretrained"])
def test_a_trained_file_has_the_last_word(kind: str, tmp_path: Path) -> None:
    trained = small(18)
    for module in trained.modules():
        if isinstance(module, PositionAttentionModule):
            nn.init.constant_(module.t2.weight, 3)
            nn.init.constant_(module.theta, 2)
    path = str(tmp_path / "trained.pth")
    torch.save(trained.state_dict(), path)
    if kind == "pretrained":
        model = small(18, pretrained=path)
    else:
        model = small(18, init_cfg={"type": kind, "checkpoint": path})
    model.init_weights()
    state = model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in trained.state_dict().items())


@pytest.mark.parametrize("contract", [False, True])
def test_dilated_stages_of_mmseg(contract: bool) -> None:
    dilated = {"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)}
    model = small(50, contract_dilation=contract, **dilated)
    reference = SegmentationResNet(50, base_channels=16, contract_dilation=contract, **dilated)
    for name in ("layer1", "layer2", "layer3", "layer4"):
        ours, theirs = getattr(model, name), getattr(reference, name)
        assert ours[0].conv2.dilation == theirs[0].conv2.dilation
        inner = [m.conv2.dilation for m in ours[1].blocks if hasattr(m, "conv2")]
        assert inner == [block.conv2.dilation for block in list(theirs)[1:]]
    x = torch.rand(1, 3, 64, 96)
    assert shapes(model, x) == shapes(reference, x)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"depth 20 .* is unknown; choose from \[18, 34, 50"):
        CSPAMResNet(20)
    with pytest.raises(ValueError, match="CSPAMResNet has no dcn: leave it out"):
        small(dcn={"type": "DCN"}, stage_with_dcn=(False, True, True, True))
    with pytest.raises(ValueError, match="CSPAMResNet has no plugins"):
        small(plugins=[])
    with pytest.raises(ValueError, match=r"attention_stages \(2, 4\) .* must lie in 0..3"):
        small(attention_stages=(2, 4))
    for init_cfg in (
        {"type": "Pretrained", "checkpoint": "a.pth"},
        [{"type": "Kaiming", "layer": "Conv2d"}, {"type": "Pretrained", "checkpoint": "a.pth"}],
    ):
        with pytest.raises(ValueError, match="pretrained='b.pth' beside an init_cfg with the"):
            small(18, pretrained="b.pth", init_cfg=init_cfg)
    with pytest.raises(ValueError, match="ratio 0.3 of 16 channels"):
        small(ratio=0.3)
    with pytest.raises(ValueError, match="scale of .* must be a number above 0 or 'sqrt'"):
        small(attention={"scale": "root"})
