"""The published weights of NeuralSegmentello, brought to the names of :class:`RefineUNet`.

The files are checkpoints of Lightning: plain tensors beside the optimizer's state, without the
settings of the network. Widths and attention gates follow from the shapes; whether the coarse
mask is added to the logit (``res``) or not (``tiny``) stands in the name of the file or its
folder alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from attnseg._atomic import create_bytes
from attnseg._seal import archive_damage, is_archive
from attnseg.errors import InputError
from attnseg.file_hash import file_hash
from attnseg.mask_refine.unet import RefineUNet

VARIANTS = ("tiny", "res")
_LEAVES = {
    "tiny16-32": "bce-dice",
    "res16-32": "bce-dice",
    "tiny16-128": "bce-dice",
    "res16-128": "bce-dice",
    "res32-256": "bound",
    "attn32-256": "bound",
}
_WIDTHS = ((16, 32), (16, 32, 64, 128), (32, 64, 128, 256))
_NAMES = (
    (r"downs\.(\d+)\.conv\.", r"encoder.\1.body."),
    (r"bottleneck\.conv\.", r"bottleneck.body."),
    (r"final_conv\.", r"head."),
    (r"attentions\.(\d+)\.W_g\.", r"gates.\1.from_up."),
    (r"attentions\.(\d+)\.W_x\.", r"gates.\1.from_skip."),
    (r"attentions\.(\d+)\.psi\.0\.", r"gates.\1.psi."),
    (r"attentions\.(\d+)\.psi\.1\.", r"gates.\1.norm."),
)


@dataclass(frozen=True)
class Architecture:
    """What the shapes of published weights tell, and the variant.

    Attributes:
        variant: ``tiny``, ``res`` or ``attn``.
        widths: channels of the encoder levels.
        in_channels: channels of the input.
    """

    variant: str
    widths: tuple[int, ...]
    in_channels: int = 3

    @property
    def name(self) -> str:
        """As the paper names it, for example ``tiny16-32``."""
        return f"{self.variant}{self.widths[0]}-{self.widths[-1]}"

    @property
    def config(self) -> str | None:
        """Config with this network, None for a network that was not published.

        Those that differ in their losses alone have the same network.
        """
        losses = _LEAVES.get(self.name)
        if losses is None or self.widths not in _WIDTHS or self.in_channels != 3:
            return None
        return f"mask_refine/refine-unet_{self.name}-{losses}_1xb1-50e_coco-refinement-full.py"

    def network(self) -> dict[str, Any]:
        """Config of the network."""
        config: dict[str, Any] = {"type": "attnseg.RefineUNet", "widths": self.widths}
        if self.in_channels != 3:
            config["in_channels"] = self.in_channels
        if self.variant == "res":
            config["coarse_residual"] = True
        if self.variant == "attn":
            config["attention_gates"] = True
        return config


def read_published(path: str | Path) -> dict[str, Tensor]:
    """Read the weights of a Lightning checkpoint, by the published names.

    Nothing but tensors and plain containers is unpickled.

    Raises:
        FileNotFoundError: There is no such file.
        PermissionError: It must not be read.
        InputError: It is a folder, converted already, no checkpoint, damaged, holds other objects
            than tensors, or weights of another network.
    """
    if Path(path).is_dir():
        raise InputError(f"{path}: is a folder; give the checkpoint (.ckpt) in it")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; give a published checkpoint (.ckpt)")
    if _is_safetensors(path):
        raise InputError(
            f"{path}: is a safetensors file, so it is converted already; published checkpoints "
            "are of Lightning (.ckpt)"
        )
    if is_archive(path) and (wrong := archive_damage(path)):
        raise InputError(f"{path}: {wrong}; fetch the published file again")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle or archive can fail anywhere
        raise InputError(f"{path}: {_reason(error)}") from error
    weights = checkpoint.get("state_dict") if isinstance(checkpoint, Mapping) else None
    if not isinstance(weights, Mapping) or not weights:
        raise InputError(
            f"{path}: holds no 'state_dict'; expected a checkpoint as Lightning writes it"
        )
    foreign = [k for k, v in weights.items() if not (isinstance(v, Tensor) and _is_known(k))]
    if foreign:
        more = len(foreign) - 1
        others = f", nor {'is 1 other' if more == 1 else f'are {more} others'} of {len(weights)}"
        raise InputError(
            f"{path}: '{foreign[0]}' is no weight of the published network{others * bool(more)}; "
            "expected 'model.downs.0.conv.0.weight' and so on"
        )
    return {key.removeprefix("model."): value for key, value in weights.items()}


def infer_architecture(weights: Mapping[str, Tensor], variant: str | None = None) -> Architecture:
    """Read the architecture from the shapes.

    Args:
        weights: by the published names, without ``model.``.
        variant: ``tiny`` or ``res``; needed where there are no attention gates.

    Raises:
        InputError: if the variant is missing, unknown or contradicts the weights, or the encoder
            is not complete.
    """
    entries: list[Tensor] = []
    while (entry := weights.get(f"downs.{len(entries)}.conv.0.weight")) is not None:
        entries.append(entry)
    if not entries or any(entry.ndim != 4 for entry in entries):
        raise InputError("the weights have no encoder 'downs.0.conv.0.weight' (f, c, 3, 3)")
    if any(key.startswith("attentions.") for key in weights):
        if variant is not None:
            raise InputError(
                f"the weights have attention gates, so they are not '{variant}'; "
                "leave the variant away"
            )
        variant = "attn"
    elif variant not in VARIANTS:
        raise InputError(
            "the weights do not tell whether the coarse mask is added to the logit: "
            f"choose the variant 'tiny' (no) or 'res' (yes), got {variant!r}"
        )
    return Architecture(variant, tuple(e.shape[0] for e in entries), entries[0].shape[1])


def variant_of_name(path: str | Path) -> str | None:
    """``tiny`` or ``res`` where a file or its folder is named as published, else None."""
    path = Path(path).absolute()
    for name in (path.name, path.parent.name):
        match = re.search(r"(?<![a-z])(tiny|res)\d+-\d+", name.lower())
        if match:
            return match[1]
    return None


def convert_weights(weights: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """Rename published weights to those of :class:`RefineUNet`, one to one.

    Raises:
        InputError: if a weight is missing, left over, of another shape or not finite.
    """
    converted = {_rename(key): value for key, value in weights.items()}
    config = architecture.network()
    config.pop("type")
    try:
        with torch.device("meta"):
            expected = RefineUNet(**config).state_dict()
    except ValueError as error:
        raise InputError(f"no network has these weights: {error}") from error
    missing = sorted(set(expected) - set(converted))
    extra = sorted(set(converted) - set(expected))
    if missing or extra:
        raise InputError(
            f"the weights are not those of {architecture.name}: {len(missing)} missing "
            f"{missing[:2]}, {len(extra)} left over {extra[:2]}"
        )
    for key, value in converted.items():
        if value.shape != expected[key].shape:
            raise InputError(
                f"the weights are not those of {architecture.name}: '{key}' has the shape "
                f"{tuple(value.shape)}, expected {tuple(expected[key].shape)}"
            )
        if not value.isfinite().all():
            raise InputError(f"'{key}' holds values that are not finite")
    return {key: value.float().contiguous() for key, value in converted.items()}


def convert_file(
    source: str | Path, target: str | Path, variant: str | None = None
) -> Architecture:
    """Write a published checkpoint as safetensors that fits :class:`MaskRefinementModel`.

    The file's metadata name the variant, the widths and the SHA-256 of the source.

    Args:
        source: Lightning checkpoint.
        target: new file.
        variant: ``tiny`` or ``res``; from the name of the file or its folder if None.

    Raises:
        FileNotFoundError: There is no such source.
        FileExistsError: The target exists; it stays as it is.
        InputError: see the functions above.
    """
    weights = read_published(source)
    gated = any(key.startswith("attentions.") for key in weights)
    chosen = variant or (None if gated else variant_of_name(source))
    try:
        architecture = infer_architecture(weights, chosen)
        converted = convert_weights(weights, architecture)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    metadata = {
        "format": "pt",
        "variant": architecture.variant,
        "widths": "-".join(map(str, architecture.widths)),
        "source_sha256": file_hash(source),
    }
    tensors = {f"network.{key}": value for key, value in converted.items()}
    create_bytes(target, save(tensors, metadata))
    return architecture


def _is_safetensors(path: str | Path) -> bool:
    """Whether a file begins with the length of a header and its JSON."""
    with open(path, "rb") as file:
        return file.read(9)[8:] == b"{"


def _is_known(key: object) -> bool:
    return isinstance(key, str) and bool(
        re.match(r"(model\.)?(downs|bottleneck|ups|attentions|final_conv)\.", key)
    )


def _rename(key: str) -> str:
    up = re.match(r"ups\.(\d+)\.(?:conv\.)?(.+)", key)
    if up:
        level, second = divmod(int(up[1]), 2)
        return f"decoder.{level}.body.{up[2]}" if second else f"upsample.{level}.{up[2]}"
    for pattern, name in _NAMES:
        key = re.sub(f"^{pattern}", name, key)
    return key


def _reason(error: Exception) -> str:
    text = str(error)
    found = re.search(r"(?:GLOBAL|Unsupported (?:global|class))\W+([\w.]+)", text)
    if found and "Weights only load failed" in text:
        return (
            f"holds '{found[1]}' beside tensors, which is not unpickled because it could run "
            "code; save the state_dict alone"
        )
    return "is damaged or no checkpoint of torch; fetch the published file again"
