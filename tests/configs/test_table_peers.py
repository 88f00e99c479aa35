"""The peers of the papers' tables beside MaskAttn-UNet and CSPAM-SOLOv2, and the small ones.

Each leaf is built; one of a family trains a step and predicts. Those beside IAUNet and MA-Net are
in test_baselines.py.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from attnseg.apis.experiment import find_config
from attnseg.apis.operators import require_operators
from attnseg.compat import MissingOperatorError, operators_compiled
from attnseg.registry import MODELS
from tests.configs.test_baselines import build, needs_ops, table_peers, without_scope
from tests.configs.test_leaves import (
    CONFIGS,
    on_demo_set,
    pixel_heads,
    set_classes,
    train_a_step_and_predict,
)

LEAVES = table_peers()
STEMS = {path.stem: path for path in LEAVES}
NEEDS_OPS = ("mask-rcnn", "ms-rcnn", "queryinst")
# One leaf of each family: the others differ in depth, data set or size.
TRAINED = (
    "mask2former_small_1xb8-400i_demo-panoptic-128x128",
    "mask2former_small_1xb8-400i_dsb2018-instance-128x128",
    "mask2former_small_1xb8-400i_camvid11-semantic-128x128",
    "mask2former_small_1xb4-1200i_coco-mini-instance-144x256",
    "maskformer_small_1xb8-400i_dsb2018-panoptic-128x128",
    "maskformer_small_1xb4-1200i_coco-mini-instance-144x256",
    "solov2_r50-small_1xb8-400i_dsb2018-instance-128x128",
    "unet_small_1xb8-400i_demo-panoptic-128x128",
    "unet_small_1xb8-400i_dsb2018-instance-128x128",
    "yolact_r50-small_1xb4-1200i_coco-mini-instance-144x256",
    "vit_b16_4xb4-160000i_ade20k-semantic-512x512",
    "mae_b16_4xb4-160000i_ade20k-semantic-512x512",
    "mask-rcnn_r50_8xb2-40e_cityscapes-street-instance-680x1200",
    "mask-rcnn_r101-pafpn_8xb2-40e_coco-instance-680x1200",
    "ms-rcnn_r101_8xb2-40e_coco-instance-680x1200",
    "queryinst_r101_8xb2-40e_coco-instance-680x1200",
)


def needs_operators(stem: str) -> bool:
    return stem.startswith(NEEDS_OPS)


def heads_with_classes(model: Any) -> list[Any]:
    """The parts of a detector that have ``num_classes``, in lists too."""
    parts = [model.get("bbox_head"), model.get("mask_head")]
    parts += [part for key, part in model.get("roi_head", {}).items() if key.endswith("_head")]
    flat = [one for part in parts for one in (part if isinstance(part, list) else [part])]
    return [part for part in flat if part is not None]


def tiny(path: Path, root: Path) -> Config:
    """A leaf on the demo set with its classes, thin where it is deep."""
    cfg = on_demo_set(Config.fromfile(path), root)
    model = cfg.model
    if "panoptic_head" in model:
        stuff = 2 if model.panoptic_head.num_stuff_classes else 0
        for part in (model.panoptic_head, model.panoptic_fusion_head):
            part.update(num_things_classes=3, num_stuff_classes=stuff)
        model.panoptic_head.loss_cls.class_weight = [1.0] * (3 + stuff) + [0.1]
    elif "decode_head" in model:
        for head in pixel_heads(cfg):
            head.num_classes = 5
        if "num_queries" in model.decode_head:
            model.decode_head.loss_cls.class_weight = [1.0] * 5 + [0.1]
        if model.backbone.type in ("VisionTransformer", "MAE"):
            model.backbone.update(num_layers=4, out_indices=[0, 1, 2, 3])
            model.decode_head.channels = 64
    elif model.type in ("SOLOv2", "attnseg.PixelSegmentor"):
        set_classes(cfg)
    else:
        for head in heads_with_classes(model):
            head.num_classes = 3
    if model.backbone.get("depth") == 101:
        model.backbone.depth = 50
    return cfg


def marked(stem: str) -> Any:
    return pytest.param(stem, marks=needs_ops if needs_operators(stem) else [])


@pytest.mark.parametrize("stem", map(marked, TRAINED))
def test_leaf_trains_a_step_and_predicts(stem: str, demo_set: Path) -> None:
    cfg = tiny(STEMS[stem], demo_set)
    if stem.startswith("mae"):
        # Its position bias belongs to the size that it was built for.
        cfg.model.backbone.img_size = (48, 64)
    train_a_step_and_predict(build(cfg), cfg)


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.stem)
def test_leaf_builds_with_the_classes_of_its_data(path: Path) -> None:
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    if cfg.model.backbone.type not in ("VisionTransformer", "MAE"):
        with torch.device("meta"):
            MODELS.build(cfg.model)
    model, count = cfg.model, cfg.num_classes
    if "panoptic_head" in model:
        things = cfg.get("num_things", count)
        for part in (model.panoptic_head, model.panoptic_fusion_head):
            assert part.num_things_classes == things
            assert part.num_stuff_classes == count - things
        weights = model.panoptic_head.loss_cls.class_weight
        assert weights == [1.0] * count + [0.1]
        assert model.test_cfg.max_per_image <= model.panoptic_head.num_queries * count
        assert model.test_cfg.panoptic_on is (things < count)
    elif "decode_head" in model:
        assert {head.num_classes for head in pixel_heads(cfg)} == {count}
    elif model.type == "attnseg.PixelSegmentor":
        assert model.head.num_things + model.head.num_stuff == count
        assert model.backbone.attention == "none"
    else:
        assert {head.num_classes for head in heads_with_classes(model)} == {count}


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.stem)
def test_name_says_size_batch_and_length(path: Path) -> None:
    cfg = Config.fromfile(path)
    size = tuple(map(int, path.stem.rpartition("-")[2].split("x")))
    assert tuple(cfg.val_dataloader.dataset.pipeline[1].scale[::-1]) == size
    assert tuple(cfg.train_dataloader.dataset.pipeline[3].size) == size
    length = cfg.train_cfg.get("max_iters") or cfg.train_cfg.max_epochs
    assert f"xb{cfg.train_dataloader.batch_size}-{length}" in path.stem


def our_leaf(stem: str) -> Path:
    """The leaf of a room that a peer stands beside: its data, size and schedule."""
    rest = stem.split("_", 2)[2] if stem.split("_")[1].count("xb") == 0 else stem.split("_", 1)[1]
    names = {
        "-680x1200": "cspam_solov2/solov2_r50_{}",
        "-144x256": "cspam_solov2/solov2_r50-small_{}",
        "512x512": "manet/manet_r50_{}",
        "2xb": "maskattn_unet/maskattn-unet_paper_{}",
        "1xb8": "maskattn_unet/maskattn-unet_small_{}",
    }
    name = next(name for part, name in names.items() if part in rest)
    return CONFIGS / f"{name.format(rest)}.py"


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.stem)
def test_leaf_has_data_schedule_and_evaluators_of_ours(path: Path) -> None:
    ours, cfg = Config.fromfile(our_leaf(path.stem)), Config.fromfile(path)
    for key in ("train_dataloader", "val_dataloader", "test_dataloader", "optim_wrapper"):
        assert cfg[key].to_dict() == ours[key].to_dict(), key
    for key in ("val_evaluator", "test_evaluator", "train_cfg", "param_scheduler", "randomness"):
        assert cfg[key] == ours[key], key


@pytest.mark.parametrize(
    ("base", "theirs", "changed"),
    [
        ("base_maskformer", "maskformer/maskformer_r50_ms-16xb1-75e_coco.py", ()),
        ("base_queryinst", "queryinst/queryinst_r50_fpn_1x_coco.py", ()),
        (
            "base_yolact",
            "yolact/yolact_r50_1xb8-55e_coco.py",
            ("strides", "centers"),
        ),
        ("base_ms-rcnn", "ms_rcnn/ms-rcnn_r50-caffe_fpn_1x_coco.py", ("nms_pre",)),
    ],
)
def test_detectors_are_those_of_mmdet_but_for_classes_encoder_and_tasks(
    base: str, theirs: str, changed: tuple[str, ...]
) -> None:
    dropped = (
        *("num_classes", "num_things_classes", "num_stuff_classes", "class_weight"),
        *("data_preprocessor", "backbone", "init_cfg", "panoptic_on", "instance_on"),
    )
    ours = Config.fromfile(CONFIGS / f"baselines/{base}.py").model
    reference = Config.fromfile(find_config(f"mmdet::{theirs}")).model
    assert without_scope(ours, *dropped, *changed) == without_scope(reference, *dropped, *changed)


@pytest.mark.parametrize(("name", "variant"), [("vit", "vit-b16_ln_mln"), ("mae", "mae")])
def test_transformers_are_those_of_mmseg_but_for_weights_and_norm(name: str, variant: str) -> None:
    dropped = ("num_classes", "norm_cfg", "pretrained", "avg_non_ignore", "data_preprocessor")
    changed = ("test_cfg", "img_size", "drop_path_rate", "final_norm")
    full = {
        "vit": "vit/vit_vit-b16-ln_mln_upernet_8xb2-160k_ade20k-512x512.py",
        "mae": "mae/mae-base_upernet_8xb2-amp-160k_ade20k-512x512.py",
    }
    ours = Config.fromfile(CONFIGS / f"baselines/base_{name}_b16.py").model
    theirs = Config.fromfile(find_config(f"mmseg::{full[name]}")).model
    assert variant.startswith(name)
    assert without_scope(ours, *dropped, *changed) == without_scope(theirs, *dropped, *changed)


@pytest.mark.skipif(operators_compiled(), reason="mmcv's operators are compiled here")
@pytest.mark.parametrize("stem", [stem for stem in STEMS if needs_operators(stem)])
def test_without_operators_the_model_is_refused(stem: str) -> None:
    cfg = Config.fromfile(STEMS[stem])
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        model = MODELS.build(cfg.model)
    with pytest.raises(MissingOperatorError, match="is not compiled.*make ops"):
        require_operators(cfg.model, model)


@pytest.mark.parametrize("stem", [stem for stem in STEMS if not needs_operators(stem)])
def test_others_need_no_operator_on_a_cpu(stem: str) -> None:
    cfg = Config.fromfile(STEMS[stem])
    assert "RoIAlign" not in str(cfg.model) and "'nms'" not in str(cfg.model)
