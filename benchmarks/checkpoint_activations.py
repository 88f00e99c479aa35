"""Peak memory of tensors in a training step, with activations kept and computed again.

One network of each room and two peers, on random images. Accounting of tensors, not of pages of
the process: the ratio holds on any machine. Run: ``python benchmarks/checkpoint_activations.py``.
"""

import time
from typing import Any

import torch
from common import print_table, report
from mmengine.registry import init_default_scope

from attnseg.apis.experiment import build_config
from attnseg.engine.blocks import checkpoint_blocks
from attnseg.engine.tensor_memory import TensorMemory
from attnseg.registry import MODELS

SIZE, BATCH = 64, 2
LEAVES = {
    "maskattn_unet": "maskattn-unet_small_1xb8-400i_dsb2018-semantic-128x128",
    "iaunet": "iaunet_small_1xb4-1200i_dsb2018-instance-128x128",
    "cspam_solov2": "cspam-solov2_r50-small_1xb4-1200i_coco-mini-instance-144x256",
    "mask_refine": "refine-unet_attn32-256-bound_1xb1-50e_coco-refinement-full",
    "manet": "manet_small_1xb8-400i_dsb2018-semantic-128x128",
    "segformer": "segformer_b0_1xb8-400i_dsb2018-semantic-128x128",
    "unet": "unet_s5-d16_1xb8-400i_dsb2018-semantic-128x128",
}


def step(leaf: str, again: bool) -> tuple[float, float]:
    """Peak in MiB over what weights and images take, and seconds, of a forward and backward."""
    torch.manual_seed(0)
    cfg = build_config(leaf)
    init_default_scope(cfg.default_scope)
    model: Any = MODELS.build(cfg.model).train()
    if again:
        checkpoint_blocks(model, None, compiled=False)
    images = torch.randn(BATCH, 3, SIZE, SIZE)
    start = time.perf_counter()
    with TensorMemory() as memory:
        memory.track({"weight": [*model.parameters(), *model.buffers()], "image": [images]})
        base = memory.alive
        outputs = _outputs(model, images)
        sum(value.float().square().mean() for value in outputs if value.requires_grad).backward()
    return (memory.peak - base) / 2**20, time.perf_counter() - start


def _outputs(model: Any, images: torch.Tensor) -> list[torch.Tensor]:
    from torch.utils._pytree import tree_leaves

    if hasattr(model, "network"):
        found = model.network(images)
    else:
        features = model.backbone(images)
        features = model.neck(features) if getattr(model, "neck", None) is not None else features
        names = ("decode_head", "head", "mask_head")
        head = next(getattr(model, name) for name in names if hasattr(model, name))
        found = head(features)
    return [leaf for leaf in tree_leaves(found) if isinstance(leaf, torch.Tensor)]


def main() -> None:
    """Measure each network twice."""
    torch.set_num_threads(1)
    rows, results = [], {}
    for name, leaf in LEAVES.items():
        (kept, kept_s), (again, again_s) = step(leaf, False), step(leaf, True)
        results[name] = {
            "leaf": leaf,
            "kept_mib": kept,
            "recomputed_mib": again,
            "memory_ratio": again / kept,
            "time_ratio": again_s / kept_s,
        }
        rows.append([name, kept, again, again / kept, again_s / kept_s])
    print_table(["room", "kept MiB", "recomputed MiB", "memory ratio", "time ratio"], rows)
    report("checkpoint_activations", {"size": SIZE, "batch": BATCH, "rooms": results}, threads=1)


if __name__ == "__main__":
    main()
