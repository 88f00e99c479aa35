"""The published network once more: names and shapes of its weights, and its forward in full."""

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]


def random_weights(widths: tuple[int, ...], gates: bool = False, seed: int = 0) -> Weights:
    """A state dict as the published files have it, `model.` included."""
    generator = torch.Generator().manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {}

    def double(name: str, channels: int, out: int) -> None:
        for at, size in ((0, channels), (3, out)):
            shapes[f"{name}.conv.{at}.weight"] = (out, size, 3, 3)
            for key in (f"{at}.bias", f"{at + 1}.weight", f"{at + 1}.bias"):
                shapes[f"{name}.conv.{key}"] = (out,)

    for i, (channels, out) in enumerate(zip((3, *widths), widths, strict=False)):
        double(f"downs.{i}", channels, out)
    double("bottleneck", widths[-1], 2 * widths[-1])
    for j, f in enumerate(reversed(widths)):
        shapes[f"ups.{2 * j}.weight"] = (2 * f, f, 2, 2)
        shapes[f"ups.{2 * j}.bias"] = (f,)
        double(f"ups.{2 * j + 1}", 2 * f, f)
        if gates:
            for name, channels, out in (("W_g", f, f // 2), ("W_x", f, f // 2), ("psi", f // 2, 1)):
                shapes[f"attentions.{j}.{name}.0.weight"] = (out, channels, 1, 1)
                for key in ("0.bias", "1.weight", "1.bias"):
                    shapes[f"attentions.{j}.{name}.{key}"] = (out,)
    shapes["final_conv.weight"], shapes["final_conv.bias"] = (1, widths[0], 1, 1), (1,)
    weights = {}
    for key, shape in shapes.items():
        fan = torch.Size(shape[1:]).numel() if len(shape) > 1 else 4
        weights[f"model.{key}"] = torch.randn(shape, generator=generator) / fan**0.5
    return weights


def forward(weights: Weights, x: Tensor, widths: tuple[int, ...], residual: bool = False) -> Tensor:
    """What the published code answers to (B, 3, H, W), operator by operator."""
    w = {key.removeprefix("model."): value for key, value in weights.items()}

    def norm(x: Tensor, name: str, groups: int = 8) -> Tensor:
        return F.group_norm(x, groups, w[f"{name}.weight"], w[f"{name}.bias"], 1e-5)

    def conv(x: Tensor, name: str, padding: int = 0) -> Tensor:
        return F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=padding)

    def double(x: Tensor, name: str) -> Tensor:
        for at in (0, 3):
            x = F.relu(norm(conv(x, f"{name}.conv.{at}", 1), f"{name}.conv.{at + 1}"))
        return x

    coarse, skips = x[:, :1], []
    for i in range(len(widths)):
        x = double(x, f"downs.{i}")
        skips.append(x)
        x = F.max_pool2d(x, 2)
    x = double(x, "bottleneck")
    for j, skip in enumerate(reversed(skips)):
        x = F.conv_transpose2d(x, w[f"ups.{2 * j}.weight"], w[f"ups.{2 * j}.bias"], stride=2)
        gate = f"attentions.{j}"
        if f"{gate}.W_g.0.weight" in w:
            g = norm(conv(x, f"{gate}.W_g.0"), f"{gate}.W_g.1")
            if g.shape != skip.shape:
                g = F.interpolate(g, skip.shape[2:], mode="bilinear", align_corners=False)
            both = F.relu(g + norm(conv(skip, f"{gate}.W_x.0"), f"{gate}.W_x.1"))
            psi = norm(conv(both, f"{gate}.psi.0"), f"{gate}.psi.1", 1).sigmoid()
            skip = skip * psi
        if x.shape[2:] != skip.shape[2:]:
            x = F.interpolate(x, skip.shape[2:], mode="nearest")
        x = double(torch.cat([skip, x], 1), f"ups.{2 * j + 1}")
    logits = conv(x, "final_conv")
    return logits + coarse if residual else logits
