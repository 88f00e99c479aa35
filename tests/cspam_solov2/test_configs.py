"""The leaves of the ablations are the eight rows of the paper's Table 1."""

import itertools
from pathlib import Path

import pytest
from mmengine.config import Config

from attnseg.apis.experiment import find_config

ROOM = Path(__file__).resolve().parents[2] / "configs/cspam_solov2"
PAPER = "8xb2-40e_coco-instance-680x1200"
SOLOV2 = "mmdet::solov2/solov2_r50_fpn_1x_coco.py"
PARTS = ("cspam", "twfpn-csmf", "aml")
ROWS = list(itertools.product((False, True), repeat=3))


def row_of(parts: tuple[bool, ...]) -> Config:
    """The leaf of the parts that are on."""
    chosen = "-".join(part for part, on in zip(PARTS, parts, strict=True) if on)
    names = {"": "solov2_r50", "-".join(PARTS): "cspam-solov2_r50"}
    return Config.fromfile(ROOM / f"{names.get(chosen, f'cspam-solov2_r50-{chosen}')}_{PAPER}.py")


def test_table_1_has_no_other_leaf() -> None:
    assert len(list(ROOM.glob(f"*_r50*_{PAPER}.py"))) == len(ROWS)


@pytest.mark.parametrize("parts", ROWS, ids=str)
def test_row_has_its_parts_and_no_other(parts: tuple[bool, ...]) -> None:
    cspam, twfpn_csmf, aml = parts
    model = row_of(parts).model
    head = model.mask_head
    assert model.backbone.type == ("attnseg.CSPAMResNet" if cspam else "ResNet")
    assert model.neck.type == ("attnseg.TWFPN" if twfpn_csmf else "FPN")
    assert head.mask_feature_head.get("type") == ("attnseg.CSMF" if twfpn_csmf else None)
    if aml:
        assert head.loss == {"type": "attnseg.AdaptiveMinimumLoss"}
    elif twfpn_csmf:
        off = {"minimum": False, "centroid": False, "dice": "squared"}
        assert head.loss == {"type": "attnseg.AdaptiveMinimumLoss", **off}
    else:
        assert head.type == "SOLOV2Head"
    # All else is SOLOv2's.
    theirs = row_of((False, False, False)).model
    for key in ("num_grids", "scale_ranges", "strides", "feat_channels", "stacked_convs"):
        assert head[key] == theirs.mask_head[key]
    same = head.mask_feature_head.to_dict()
    same.pop("type", None)
    assert same == theirs.mask_head.mask_feature_head.to_dict()
    assert model.test_cfg == theirs.test_cfg


def test_first_row_is_mmdets_solov2_but_for_pretrained_weights() -> None:
    ours = row_of((False, False, False)).model.to_dict()
    theirs = Config.fromfile(find_config(SOLOV2)).model.to_dict()
    # SOLOv2 does not use the place where SOLO's classes become a grid.
    assert {**ours["mask_head"], "cls_down_index": 0} == theirs["mask_head"]
    assert {**theirs["neck"], "start_level": 0} == {"start_level": 0, **ours["neck"]}
    assert ours["test_cfg"] == theirs["test_cfg"]
    assert ours["data_preprocessor"] == theirs["data_preprocessor"]
    frozen = {"norm_cfg", "norm_eval", "init_cfg", "frozen_stages"}
    for key in ours["backbone"].keys() - frozen:
        assert ours["backbone"][key] == theirs["backbone"][key]


def test_schedule_is_the_papers() -> None:
    cfg = row_of((True, True, True))
    sgd = {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4}
    assert cfg.optim_wrapper.optimizer == sgd
    assert cfg.train_cfg.max_epochs == 40
    (step,) = (s for s in cfg.param_scheduler if s.type == "MultiStepLR")
    assert step.milestones == [10] and step.gamma == 0.1
    assert cfg.train_dataloader.batch_size == 2
    assert tuple(cfg.val_dataloader.dataset.pipeline[1].scale) == (1200, 680)


@pytest.mark.parametrize("path", sorted(ROOM.glob("*_*xb*.py")), ids=lambda p: p.stem)
def test_images_fill_the_grids_in_training_as_in_tests(path: Path) -> None:
    cfg = Config.fromfile(path)
    jitter = cfg.train_dataloader.dataset.pipeline[3]
    resize = cfg.val_dataloader.dataset.pipeline[1]
    assert not jitter.pad
    assert jitter.keep_ratio and resize.keep_ratio
    assert tuple(jitter.size) == tuple(resize.scale[::-1])
    # mmdet's head alone leaves parameters out of the loss of a batch without objects.
    assert cfg.find_unused_parameters == (cfg.model.mask_head.type == "SOLOV2Head")


def test_street_leaf_of_the_page(tmp_path: Path) -> None:
    page = (ROOM / "README.md").read_text()
    text = page.split("```python\n# street.py\n")[1].split("```")[0]
    path = tmp_path / "street.py"
    path.write_text(text.replace("attnseg::", f"{ROOM.parent}/"))
    cfg = Config.fromfile(path)
    assert cfg.model.mask_head.num_classes == 5
    assert cfg.model.mask_head.num_grids == cfg.small.num_grids
    assert cfg.train_dataloader.dataset.pipeline[3].size == (144, 256)
    for split in ("val", "test"):
        assert cfg[f"{split}_dataloader"].dataset.pipeline[1].scale == (256, 144)
