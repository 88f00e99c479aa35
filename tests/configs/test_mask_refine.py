"""The eight published leaves: names against contents, one training step, one prediction."""

import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from attnseg.mask_refine import MaskRefinementModel
from attnseg.registry import HOOKS, MODELS

FOLDER = Path(__file__).resolve().parents[2] / "configs/mask_refine"
LEAVES = sorted(FOLDER.glob("refine-unet_*_coco-refinement-full.py"))
WIDTHS = {"16-32": (16, 32), "16-128": (16, 32, 64, 128), "32-256": (32, 64, 128, 256)}
# Measured on the published code.
PARAMETERS = {
    "tiny16-32": 117_681,
    "res16-32": 117_681,
    "tiny16-128": 1_944_049,
    "res16-128": 1_944_049,
    "res32-256": 7_765_985,
    "attn32-256": 7_854_717,
}
WEIGHTS = {
    "bce-dice": {"loss_bce": 0.5, "loss_dice": 0.5},
    "bound": {"loss_bce": 0.4, "loss_dice": 0.4, "loss_sobel": 0.2},
}


def on_demo_set(path: Path, root: Path) -> Config:
    """The leaf with the demo set's images, 64x64."""
    cfg = Config.fromfile(path)
    for split in ("train", "val"):
        loader = cfg[f"{split}_dataloader"]
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.update(
            data_root=str(root),
            ann_file=f"annotations/instances_{split}.json",
            data_prefix=dict(img=f"images/{split}/"),
        )
    init_default_scope(cfg.default_scope)
    return cfg


def batch_of(cfg: Config, split: str) -> dict:
    return next(iter(Runner.build_dataloader(cfg[f"{split}_dataloader"], seed=0)))


def test_the_eight_leaves_are_there() -> None:
    assert len(LEAVES) == 8


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.stem)
def test_name_tells_the_leaf(path: Path) -> None:
    cfg = Config.fromfile(path)
    found = re.fullmatch(
        r"refine-unet_(tiny|res|attn)(\d+-\d+)-(.+)_1xb1-50e_coco-refinement-full", path.stem
    )
    assert found is not None
    variant, widths, losses = found.groups()
    network = cfg.model.network
    assert tuple(network.widths) == WIDTHS[widths]
    assert network.get("coarse_residual", False) == (variant == "res")
    assert network.get("attention_gates", False) == (variant == "attn")
    model = MODELS.build(cfg.model)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[variant + widths]
    assert {loss.loss_name: loss.loss_weight for loss in model.losses} == WEIGHTS[losses]
    assert model.data_preprocessor.channels == ("coarse", "gray", "gradient")
    assert (cfg.train_dataloader.batch_size, cfg.train_cfg.max_epochs) == (1, 50)
    assert cfg.optim_wrapper.optimizer == {"type": "Adam", "lr": 1e-3}
    data = cfg.train_dataloader.dataset
    assert (data.objects, data.min_area, data.crowd) == ("largest", 0, True)
    assert cfg.randomness.seed == 42


def test_stops_as_published() -> None:
    cfg = Config.fromfile(LEAVES[0])
    stop = HOOKS.build(cfg.custom_hooks[-1])
    improving = [0.5, 0.4999, 0.6, 0.6, 0.6, 0.6, 0.6]
    stopped = [stop._check_stop_condition(value)[0] for value in improving]
    assert stopped == [False] * 6 + [True]
    assert cfg.default_hooks.checkpoint.save_best == stop.monitor == "val_loss"


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.stem)
@pytest.mark.parametrize("mask", ["object", "empty"])
def test_every_parameter_learns(path: Path, demo_set: Path, mask: str) -> None:
    torch.manual_seed(0)
    cfg = on_demo_set(path, demo_set)
    model = MODELS.build(cfg.model)
    batch = batch_of(cfg, "train")
    if mask == "empty":
        for sample in batch["data_samples"]:
            sample.coarse = torch.zeros_like(sample.coarse)
            sample.target = torch.zeros_like(sample.target)
    optim = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    logged = model.train_step(batch, optim)
    assert set(logged) == {"loss", *(loss.loss_name for loss in model.losses)}
    assert all(value.isfinite() for value in logged.values())
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all(), name
        # The norm behind the gate's last convolution takes out its bias: no gradient but rounding.
        if not name.endswith("psi.bias"):
            assert not torch.equal(parameter, before[name]), name


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.stem)
def test_predicts_at_the_size_of_the_image(path: Path, demo_set: Path) -> None:
    torch.manual_seed(0)
    cfg = on_demo_set(path, demo_set)
    model: MaskRefinementModel = MODELS.build(cfg.model)
    *samples, losses = model.eval().val_step(batch_of(cfg, "val"))
    assert [sample.pred_mask.shape for sample in samples] == [
        sample.ori_shape for sample in samples
    ]
    assert losses.keys() == ["loss"]
    assert set(losses.loss) == {loss.loss_name for loss in model.losses}


def test_a_run_keeps_the_checkpoint_of_the_least_validation_loss(
    demo_set: Path, tmp_path: Path
) -> None:
    (path,) = FOLDER.glob("*_tiny16-32-bce-dice_*-full.py")
    cfg = on_demo_set(path, demo_set)
    cfg.train_cfg.max_epochs = 2
    cfg.work_dir = str(tmp_path)
    # Of one name there is one visualizer in a process, which writes where it did first.
    cfg.visualizer.name = tmp_path.name
    Runner.from_cfg(cfg).train()
    (scalars,) = tmp_path.glob("*/vis_data/scalars.json")
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    losses = [row["val_loss"] for row in rows if "val_loss" in row]
    result = json.loads((tmp_path / "result.json").read_text())
    assert len(losses) == 2 and 0 <= result["metrics"]["refine/IoU"] <= 1
    assert losses[-1] == pytest.approx(result["metrics"]["val_loss"], rel=1e-6)
    best = 1 + losses.index(min(losses))
    assert [path.name for path in tmp_path.glob("best*")] == [f"best_val_loss_epoch_{best}.pth"]
