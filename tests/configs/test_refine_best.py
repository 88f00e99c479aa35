"""refine_best and the short leaves: one training step and one prediction on the demo set."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

FOLDER = Path(__file__).resolve().parents[2] / "configs/mask_refine"
BEST = sorted(FOLDER.glob("refine[-_]best*.py"))
CROPS = sorted(FOLDER.glob("*-crop_1xb1-2000i_coco-mini-refinement-256x256.py"))


def on_demo_set(path, root):
    """The leaf with two objects of the demo set in small crops."""
    cfg = Config.fromfile(path)
    for split in ("train", "val"):
        loader = cfg[f"{split}_dataloader"]
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        loader.dataset.update(
            data_root=str(root),
            ann_file=f"annotations/instances_{split}.json",
            data_prefix={"img": f"images/{split}/"},
            min_area=16,
        )
        (crop,) = (step for step in loader.dataset.pipeline if step.type.endswith("CropToStroke"))
        crop.size = (32, 32)
    init_default_scope(cfg.default_scope)
    return cfg


def batch_of(cfg, split):
    return next(iter(Runner.build_dataloader(cfg[f"{split}_dataloader"], seed=0)))


def test_each_published_configuration_has_a_short_leaf_that_differs_in_length_and_data_alone():
    full = sorted(FOLDER.glob("refine-unet_*_coco-refinement-full.py"))
    assert len(full) == len(CROPS) == 8
    for long, short in zip(full, CROPS, strict=True):
        assert short.name.startswith(long.name.split("_1xb1")[0] + "-crop_")
        assert Config.fromfile(long).model == Config.fromfile(short).model


@pytest.mark.parametrize("path", [*BEST, *CROPS], ids=lambda path: path.stem)
def test_a_step_changes_what_it_should_and_prediction_fits_the_image(path, demo_set):
    torch.manual_seed(0)
    cfg = on_demo_set(path, demo_set)
    model = MODELS.build(cfg.model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    # The first step of a warm-up is small, that of another optimizer is not looked at here.
    cfg.optim_wrapper.optimizer.lr = 1e-2
    logged = model.train_step(batch_of(cfg, "train"), build_optim_wrapper(model, cfg.optim_wrapper))
    assert all(value.isfinite() for value in logged.values())
    same = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
    # The norm behind the gate's last convolution takes out its bias.
    assert all(name.endswith("psi.bias") for name in same)
    for sample in model.eval().val_step(batch_of(cfg, "val"))[:2]:
        assert sample.pred_mask.shape == sample.gt_mask.shape == sample.ori_shape


def test_refine_best_ignores_corrections_until_it_is_taught(demo_set):
    cfg = on_demo_set(FOLDER / "refine_best.py", demo_set)
    model = MODELS.build(cfg.model).eval()
    inputs = model.data_preprocessor(batch_of(cfg, "val"))["inputs"]
    features = inputs["features"]
    assert model.data_preprocessor.channels[-2:] == ("add", "remove")
    painted = features.clone()
    painted[:, -2:] = 1
    assert torch.equal(model.network(features), model.network(painted))
    # The residual is the signed distance to the coarse mask.
    distance = features[:, model.network.residual_channel]
    assert ((distance > 0) == (features[:, 0] > 0)).all()
