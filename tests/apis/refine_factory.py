"""A refinement model whose answers are known: it gives back the mask that goes in."""

from pathlib import Path

import torch
from mmengine.registry import MODELS

from attnseg.apis.experiment import build_config
from attnseg.compat import setup_env
from attnseg.engine.checkpoint import load_weights

setup_env()

REPO = Path(__file__).resolve().parents[2]
CONFIG = """
_base_ = ["{configs}/_base_/datasets/demo_refinement.py"]
model = dict(
    type="attnseg.MaskRefinementModel",
    network=dict(type="attnseg.RefineUNet", widths=(8, 16), coarse_residual=True),
    test_cfg=dict(loss=True),
)
"""
CROP = """
test_pipeline = [
    dict(type="attnseg.LoadImage"),
    dict(type="attnseg.LoadObjectMask"),
    dict(type="attnseg.CoarseMask", mode="erode", seed=0),
    dict(type="attnseg.CropToStroke", size=(64, 64), min_margin=4, max_size=(128, 128)),
    dict(type="attnseg.PackRefinement", keep_masks=True),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
"""


def write_model(folder: Path, crop: bool = False, empty: bool = False) -> tuple[Path, Path]:
    """Write a config and weights; the network's logit is the coarse mask less one half.

    Args:
        folder: where to.
        crop: whether the pipeline crops around the stroke.
        empty: whether the logit is -1 in place of it, so that nothing is found.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config, weights = folder / "own.py", folder / "own.pth"
    config.write_text(CONFIG.format(configs=(REPO / "configs").as_posix()) + CROP * crop)
    torch.manual_seed(0)
    model = MODELS.build(build_config(config).model)
    last = [module for module in model.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(-2.0 if empty else -0.5)
    torch.save({"state_dict": model.state_dict()}, weights)
    load_weights(model, weights)
    return config, weights
