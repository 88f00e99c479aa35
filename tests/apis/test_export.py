"""Raw outputs of each room through ONNX, torch.export and torch.compile."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from attnseg.apis import export
from attnseg.apis.benchmark_inputs import without_weights
from attnseg.apis.command import UsageError
from attnseg.apis.experiment import build_config
from attnseg.apis.export import RawOutputs, compare, export_onnx, named_tensors, onnx_bytes
from tests.integration.conftest import CONFIGS

REPO = CONFIGS.parent
SMALL = "maskattn_unet/maskattn-unet_small_1xb8-400i_dsb2018-{}-128x128.py"
SIZE = (64, 96)
# Leaf -> options that make it tiny; each has all layers of its family.
ROOMS: dict[str, tuple[str, dict[str, Any]]] = {
    "semantic": (SMALL.format("semantic"), {}),
    "instance": (SMALL.format("instance"), {}),
    "panoptic": (SMALL.format("panoptic"), {}),
    "manet": (
        "manet/manet_small_1xb8-400i_dsb2018-semantic-128x128.py",
        {"model.decode_head.decoder_channels": (16, 16, 16, 8, 8)},
    ),
    "refine_best": ("mask_refine/refine_best.py", {}),
    "refine_attention": (
        "mask_refine/refine-unet_attn32-256-bound_1xb1-50e_coco-refinement-full.py",
        {"model.network.widths": (16, 16, 32)},
    ),
    "iaunet": (
        "iaunet/iaunet_small-fast_1xb4-1200i_dsb2018-instance-128x128.py",
        {
            "model.backbone.widths": (4, 8, 8, 12),
            "model.head.in_channels": [4, 8, 8, 12],
            "model.head.channels": 8,
            "model.head.num_heads": 2,
            "model.head.num_queries": 7,
        },
    ),
    "cspam_solov2": (
        "cspam_solov2/cspam-solov2_r50-small_1xb4-1200i_coco-mini-instance-144x256.py",
        {"model.mask_head.num_grids": [8, 6, 4, 3, 2], "model.mask_head.feat_channels": 32},
    ),
}
FAMILIES = pytest.mark.parametrize("room", ROOMS)
# One of each room: what the others lack.
LARGEST = pytest.mark.parametrize(
    "room", ["panoptic", "manet", "refine_best", "iaunet", "cspam_solov2"]
)


def tiny(room: str) -> RawOutputs:
    """A room's network with random weights, all of them of some size."""
    leaf, options = ROOMS[room]
    cfg = build_config(leaf, cfg_options=options)
    init_default_scope(cfg.get("default_scope", "mmdet"))
    torch.manual_seed(0)
    network = RawOutputs(MODELS.build(without_weights(cfg.model))).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            # Some start at zero, and would hide what is behind them.
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def tensors(outputs: Any) -> list[torch.Tensor]:
    return [value for _, value in named_tensors(outputs)]


def agree(found: Any, expected: Any) -> None:
    for a, b in zip(tensors(found), tensors(expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@FAMILIES
def test_onnx_agrees_at_sizes_it_was_not_traced_at(room: str) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    network = tiny(room)
    data = onnx_bytes(network, SIZE, dynamic=True)
    for batch, height, width in ((1, *SIZE), (3, 128, 64)):
        found = compare(network, data, (batch, network.channels, height, width))
        assert found.error <= 1e-4 * max(1.0, found.scale), found


@LARGEST
def test_torch_export_agrees(room: str) -> None:
    network = tiny(room)
    image = torch.randn(1, network.channels, *SIZE)
    with torch.no_grad():
        program = torch.export.export(network, (image,), strict=False)
        agree(program.module()(image), network(image))


@LARGEST
def test_compiles_as_one_graph_with_gradients(room: str) -> None:
    torch._dynamo.reset()
    # Attention has another kernel when compiled; in float32, ReLUs near zero would flip.
    network = tiny(room).double()
    image = torch.randn(1, network.channels, *SIZE, dtype=torch.float64)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    results = []
    for run in (compiled, network):
        network.zero_grad()
        outputs = tensors(run(image))
        sum(value.square().mean() for value in outputs).backward()
        grads = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
        results.append((outputs, grads))
    (outputs, grads), (expected, expected_grads) = results
    for a, b in zip(outputs, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)
    assert grads.keys() == expected_grads.keys() and grads
    # Where a softmax is saturated, what is left of a gradient is rounding.
    rounding = 1e-9 * max(grad.norm() for grad in expected_grads.values())
    for name, grad in expected_grads.items():
        assert (grads[name] - grad).norm() <= 1e-5 * grad.norm() + rounding, name


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "w.pth"
    torch.save({"state_dict": tiny("semantic").model.state_dict(), "meta": {}}, path)
    return path


def test_the_tool_writes_a_checked_file(checkpoint: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    out = tmp_path / "new" / "model.onnx"
    command = [sys.executable, str(REPO / "tools" / "export.py"), ROOMS["semantic"][0]]
    command += [str(checkpoint), "--out", str(out), "--shape", "32", "64", "--dynamic"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = result.stdout.strip().splitlines()
    assert [line.partition(":")[0] for line in lines[-3:-1]] == ["1x3x32x64", "2x3x64x160"]
    assert all("max error" in line for line in lines[-3:-1])
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    assert [item.name for item in session.get_inputs()] == ["image"]


def test_without_a_shape_that_of_the_test_set_counts(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    (found,) = export_onnx(ROOMS["semantic"][0], checkpoint, tmp_path / "m.onnx")
    assert found.shape == (1, 3, 128, 128)


def test_what_cannot_be_exported_is_named_and_nothing_is_lost(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    out = tmp_path / "model.onnx"
    out.write_bytes(b"old")
    leaf = ROOMS["semantic"][0]
    with pytest.raises(UsageError, match="--shape 0 3"):
        export_onnx(leaf, checkpoint, out, shape=(0, 3))
    with pytest.raises(UsageError, match="the weights do not fit"):
        export_onnx(ROOMS["panoptic"][0], checkpoint, out)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(UsageError, match="pip install onnxruntime"):
            export_onnx(leaf, checkpoint, out)
    # Another graph than the model's.
    other = onnx_bytes(tiny("semantic"), (32, 32), dynamic=False)
    monkeypatch.setattr(export, "onnx_bytes", lambda *_: other)
    with torch.no_grad():
        state = torch.load(checkpoint, weights_only=True)
        for value in state["state_dict"].values():
            value.mul_(1.5) if value.is_floating_point() else None
        torch.save(state, checkpoint)
    with pytest.raises(UsageError, match="from torch at 1x3x32x32"):
        export_onnx(leaf, checkpoint, out, shape=(32, 32))
    assert out.read_bytes() == b"old"
