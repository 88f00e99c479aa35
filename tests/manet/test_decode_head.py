import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from torch import nn

from attnseg.manet import FusionAttentionBlock, MANetHead
from attnseg.registry import MODELS

CHANNELS = (4, 8, 12, 16)


def head(**changes: object) -> MANetHead:
    torch.manual_seed(0)
    cfg = {
        "in_channels": CHANNELS,
        "decoder_channels": (12, 8, 6),
        "pab_channels": 10,
        "attention_channels": 4,
        "num_classes": 5,
        "align_corners": False,
        "loss_decode": {"type": "CrossEntropyLoss", "avg_non_ignore": True},
        **changes,
    }
    with DefaultScope.overwrite_default_scope("mmseg"):
        return MODELS.build({"type": "attnseg.MANetHead", **cfg})


def maps(
    height: int = 20, width: int = 28, batch: int = 2, channels: tuple[int, ...] = CHANNELS
) -> list[torch.Tensor]:
    """Maps as a strided backbone gives them: each size is half of the last, rounded up."""
    sizes = [(-(-height // 2**i), -(-width // 2**i)) for i in range(len(channels))]
    return [torch.randn(batch, c, *size) for c, size in zip(channels, sizes, strict=True)]


@pytest.mark.parametrize("size", [(20, 28), (17, 23), (8, 8), (5, 1)])
def test_logits_have_the_size_of_the_first_map(size: tuple[int, int]) -> None:
    assert head()(maps(*size)).shape == (2, 5, *size)


@pytest.mark.parametrize("batch", [1, 2])
def test_every_parameter_gets_a_gradient(batch: int) -> None:
    net = head(upsample_blocks=1, decoder_channels=(12, 8, 6, 4), reduction=1)
    with torch.no_grad():
        net.position.alpha.fill_(1)
    out = net(maps(batch=batch))
    (out * torch.randn_like(out)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


def test_position_attention_is_on_the_deepest_map_and_fusion_on_each_other() -> None:
    net = head().eval()
    inputs = maps()
    x = net.position(inputs[3])
    for block, skip in zip(net.fusions, inputs[2::-1], strict=True):
        x = block(x, skip)
    assert torch.equal(net(inputs), net.conv_seg(x))
    assert net.position.input_conv.in_channels == 16
    assert [b.fuse.body[0].in_channels for b in net.fusions] == [24, 16, 8]


def test_maps_are_chosen_by_index() -> None:
    net = head(in_channels=(4, 12), in_index=(0, 2), decoder_channels=(6,)).eval()
    inputs = maps()
    changed = [inputs[0], inputs[1] + 1, inputs[2], inputs[3] + 1]
    assert torch.equal(net(inputs), net(changed))
    assert not torch.equal(net(inputs), net([inputs[0] + 1, *inputs[1:]]))
    assert not torch.equal(net(inputs), net([*inputs[:2], inputs[2] + 1, inputs[3]]))
    from_behind = head(in_channels=(4, 12), in_index=(-4, -2), decoder_channels=(6,)).eval()
    assert torch.equal(from_behind(inputs), net(inputs))


def test_upsample_blocks_double_the_size() -> None:
    net = head(upsample_blocks=2, decoder_channels=(12, 8, 6, 4, 3))
    assert net(maps(9, 7)).shape == (2, 5, 36, 28)
    assert net.conv_seg.in_channels == 3
    assert len(net.upsamplings) == 2


def test_each_argument_reaches_its_block() -> None:
    net = head(
        scale="sqrt",
        attention_channels=16,
        reduction=2,
        shared=True,
        norm_cfg={"type": "GN", "num_groups": 1},
        act_cfg={"type": "GELU"},
    )
    assert net.position.scale == 0.25
    assert net.position.query.out_channels == 16
    assert net.position.output_conv.out_channels == 10
    assert [b.high_weights[1].out_channels for b in net.fusions] == [6, 4, 2]
    assert all(b.high_weights is b.skip_weights for b in net.fusions)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    assert sum(isinstance(m, nn.GELU) for m in net.modules()) == 4 * len(net.fusions)
    assert head().position.scale == 1.0
    plain = MANetHead(CHANNELS, num_classes=3, upsample_blocks=2)
    widths = [b.fuse.body[0].out_channels for b in plain.fusions]
    assert widths == [256, 128, 64]
    assert [b.body[0].out_channels for b in plain.upsamplings] == [32, 16]
    assert plain.position.output_conv.out_channels == 512
    assert isinstance(plain.fusions[0], FusionAttentionBlock)


def samples(truth: torch.Tensor) -> list:
    from mmseg.structures import SegDataSample

    made = []
    for one in truth:
        sample = SegDataSample(metainfo={"img_shape": tuple(one.shape)})
        sample.gt_sem_seg = PixelData(data=one[None])
        made.append(sample)
    return made


def test_void_alone_gives_a_finite_loss_and_gradients() -> None:
    net = head()
    losses = net.loss(maps(), samples(torch.full((2, 40, 56), 255)), {})
    losses["loss_ce"].backward()
    assert losses["loss_ce"] == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


BCE = {"type": "CrossEntropyLoss", "use_sigmoid": True}
CE = {"type": "CrossEntropyLoss", "avg_non_ignore": True}
DICE = {"type": "DiceLoss", "use_sigmoid": False}


@pytest.mark.parametrize(
    "binary",
    [
        {"out_channels": 1, "threshold": 0.5, "loss_decode": [BCE]},
        {"loss_decode": [CE, DICE]},
    ],
    ids=["one logit", "two classes"],
)
def test_two_classes_are_learned_from_one_image(binary: dict) -> None:
    net = head(num_classes=2, **binary)
    truth = torch.zeros(2, 20, 28, dtype=torch.long)
    truth[:, 5:12, 8:20] = 1
    inputs = maps()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    history = []
    for _ in range(20):
        losses = net.loss(inputs, samples(truth), {})
        total = sum(value for key, value in losses.items() if key.startswith("loss"))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(float(total.detach()))
    assert net(inputs).shape == (2, binary.get("out_channels", 2), 20, 28)
    assert history[-1] < 0.7 * history[0]


def test_dice_of_mmseg_takes_one_logit_for_class_0() -> None:
    """Against cross-entropy, which takes it for class 1: why the binary config has two logits."""
    with DefaultScope.overwrite_default_scope("mmseg"):
        bce, dice = (MODELS.build(c) for c in (BCE, {"type": "DiceLoss", "use_sigmoid": True}))
    truth = torch.ones(1, 4, 4, dtype=torch.long)
    sure = torch.full((1, 1, 4, 4), 9.0)
    assert bce(sure, truth) < 1e-3
    assert dice(sure, truth) > 0.99


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_large_activations_stay_finite_under_autocast(dtype: torch.dtype) -> None:
    net = head()
    with torch.no_grad():
        net.position.alpha.fill_(1)
    with torch.autocast("cpu", dtype):
        out = net([1000 * x for x in maps()])
        out.float().square().mean().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_channels": (4,)}, "in_channels needs the channels of at least two maps"),
        ({"in_channels": 4}, "in_channels needs the channels of at least two maps"),
        ({"in_index": (0, 1)}, r"in_index needs 4 places.*got \(0, 1\)"),
        ({"in_index": 3}, "in_index needs 4 places"),
        ({"decoder_channels": (8, 8)}, r"decoder_channels needs 3 numbers.*got \[8, 8\]"),
        ({"upsample_blocks": 1, "decoder_channels": (8, 8, 8)}, "decoder_channels needs 4 numbers"),
        ({"upsample_blocks": -1}, "upsample_blocks must be at least 0, got -1"),
        ({"scale": "two"}, "scale 'two' is unknown"),
        ({"channels": 8}, "MANetHead takes no 'channels'"),
    ],
)
def test_wrong_arguments_are_named(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MANetHead(**{"in_channels": CHANNELS, "num_classes": 5, **changes})


def test_maps_that_do_not_fit_are_named() -> None:
    net = head()
    with pytest.raises(ValueError, match=r"in_index \[0, 1, 2, 3\] names maps.*it gives 3"):
        net(maps()[:3])
    with pytest.raises(ValueError, match=r"in_channels is \[4, 8, 12, 16\].*have \[4, 8, 12, 9\]"):
        net(maps(channels=(4, 8, 12, 9)))
    turned = head(in_channels=CHANNELS[::-1], in_index=(3, 2, 1, 0))
    with pytest.raises(ValueError, match="from the highest to the lowest resolution"):
        turned(maps())
