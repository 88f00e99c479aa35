"""The peers: leaves train and predict at a tiny size, as their library has them.

Those of mmdet are run as IAUNet is, those of mmseg as MA-Net.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from attnseg.apis.command import run_command
from attnseg.apis.experiment import build_config, find_config, run_train
from attnseg.compat import operators_compiled
from attnseg.registry import MODELS
from tests.configs.test_leaves import (
    CONFIGS,
    on_demo_set,
    pixel_heads,
    set_classes,
    train_a_step_and_predict,
)

ALL_LEAVES = sorted(p for p in CONFIGS.glob("baselines/*.py") if not p.name.startswith("base"))
OF_CELLS = ("1xb8-16000i", "1xb4-1200i_dsb2018", "1xb4-1200i_usiigaci")
OF_MANET = ("deeplabv3plus", "segformer", "unet_s5-d16")
SEMANTIC = [p for p in ALL_LEAVES if p.name.startswith(OF_MANET)]
LEAVES = [p for p in ALL_LEAVES if any(part in p.name for part in OF_CELLS)]
NEEDS_OPS = [p for p in LEAVES if p.name.startswith(("mask-rcnn", "point-rend"))]
QUERY_BASED = [p for p in LEAVES if p not in NEEDS_OPS]
MASK2FORMER = "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py"
POINT_REND = "mmdet::point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py"
needs_ops = [
    pytest.mark.needs_ops,
    pytest.mark.skipif(
        not operators_compiled(), reason="needs mmcv's compiled operators: run `make ops`"
    ),
]
DEEP = ("_r101_", "_swin-")
# Deeper encoders change no other part: one of them each is run.
RUN = [
    p
    for p in LEAVES
    if not any(part in p.name for part in DEEP) or ("swin-s" in p.name and "revvity" in p.name)
]
MARKED = [pytest.param(p, marks=needs_ops if p in NEEDS_OPS else []) for p in RUN]


def table_peers() -> list[Path]:
    """The leaves that test_table_peers.py looks at."""
    return [p for p in ALL_LEAVES if p not in LEAVES and p not in SEMANTIC]


def name_of(path: Any) -> str:
    return path.stem if isinstance(path, Path) else str(path)


def detector_of(cfg: Config) -> Any:
    return cfg.model.get("detector", cfg.model)


def classes_of(cfg: Config) -> list[int]:
    """Numbers of classes that the parts of a model are built for."""
    model = detector_of(cfg)
    if "roi_head" in model:
        heads = ("bbox_head", "mask_head", "point_head")
        return [model.roi_head[h].num_classes for h in heads if h in model.roi_head]
    head = model.panoptic_head
    assert head.num_stuff_classes == model.panoptic_fusion_head.num_stuff_classes == 0
    assert head.loss_cls.class_weight == [1.0] * head.num_things_classes + [0.1]
    return [head.num_things_classes, model.panoptic_fusion_head.num_things_classes]


def tiny(path: Path, root: Path) -> Config:
    """A leaf on the demo set with its 3 classes."""
    cfg = on_demo_set(Config.fromfile(path), root)
    model = detector_of(cfg)
    cfg.model.data_preprocessor.pad_size_divisor = 32
    if "roi_head" in model:
        for name in ("bbox_head", "mask_head", "point_head"):
            if name in model.roi_head:
                model.roi_head[name].num_classes = 3
    else:
        model.panoptic_head.num_things_classes = model.panoptic_fusion_head.num_things_classes = 3
        model.panoptic_head.loss_cls.class_weight = [1.0] * 3 + [0.1]
    if "windows" in cfg.model:
        cfg.model.windows.update(size=(48, 64), overlap=24)
    return cfg


def build(cfg: Config) -> torch.nn.Module:
    torch.manual_seed(0)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


@pytest.mark.parametrize("path", MARKED, ids=name_of)
def test_leaf_trains_a_step_and_predicts(path: Path, demo_set: Path) -> None:
    cfg = tiny(path, demo_set)
    model = build(cfg)
    train_a_step_and_predict(model, cfg)


@pytest.mark.parametrize(
    "path",
    [
        *[p for p in QUERY_BASED if "_small_" in p.name],
        *[pytest.param(p, marks=needs_ops) for p in NEEDS_OPS if "usiigaci" in p.name],
    ],
    ids=name_of,
)
def test_images_without_objects_give_every_parameter_a_gradient(path: Path, demo_set: Path) -> None:
    cfg = tiny(path, demo_set)
    model = build(cfg).train()
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    for sample in batch["data_samples"]:
        sample.gt_instances = sample.gt_instances[:0]
    data = model.data_preprocessor(batch, True)
    loss, logged = model.parse_losses(model(**data, mode="loss"))
    loss.backward()
    assert loss.isfinite()
    of_masks = {key for key in logged if key in ("loss_mask", "loss_dice", "loss_point")}
    assert len(of_masks) == (1 if path.name.startswith("mask-rcnn") else 2)
    assert all(logged[key] == 0 for key in of_masks)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_point_loss_without_objects_reaches_the_parameters_of_both_mask_heads() -> None:
    init_default_scope("mmdet")
    cfg = Config.fromfile(CONFIGS / "baselines/base_point-rend.py").model
    for part in ("mask_head", "point_head"):
        cfg.roi_head[part].num_classes = 1
    head = MODELS.build({**cfg.roi_head, "train_cfg": cfg.train_cfg.rcnn})
    loss = head._mask_point_loss((), [], torch.zeros(0, 1, 7, 7), [])["loss_point"]
    loss.backward()
    assert loss == 0
    for part in (head.mask_head, head.point_head):
        assert all((parameter.grad == 0).all() for parameter in part.parameters())


@pytest.mark.parametrize("path", LEAVES, ids=name_of)
def test_leaf_is_at_the_setting_of_iaunet(path: Path) -> None:
    cfg = Config.fromfile(path)
    assert set(classes_of(cfg)) == {cfg.num_classes}
    encoder, rest = path.stem.split("_", 1)[1].split("_", 1)
    ours = Config.fromfile(CONFIGS / f"iaunet/iaunet_{encoder}_{rest}.py")
    for key in ("train_dataloader", "val_dataloader", "val_evaluator", "test_evaluator"):
        assert (
            cfg[key].to_dict() == ours[key].to_dict()
            if key.endswith("loader")
            else (cfg[key] == ours[key])
        )
    for key in ("train_cfg", "optim_wrapper", "param_scheduler"):
        assert cfg[key] == ours[key]
    model = detector_of(cfg)
    # IAUNet's positions are relative to the padded input; mmdet's models count in pixels.
    for key in ours.model.data_preprocessor.keys() - {"pad_size_divisor"}:
        assert cfg.model.data_preprocessor[key] == ours.model.data_preprocessor[key]
    assert without_scope(model.backbone) == without_scope(ours.model.backbone)
    if path in QUERY_BASED:
        assert model.panoptic_head.num_queries == ours.model.head.num_queries
        assert model.test_cfg.max_per_image == model.panoptic_head.num_queries
        if encoder == "small":
            assert cfg.model.windows == ours.model.test_cfg.windows
    else:
        largest = max((m.get("max_dets", [0])[-1] for m in cfg.test_evaluator), default=0)
        assert model.test_cfg.rcnn.max_per_img >= largest
        assert model.test_cfg.rcnn.score_thr == ours.model.test_cfg.score_thr


def without_scope(value: Any, *dropped: str) -> Any:
    """A config as plain values without the library's marks and the keys to be left out."""
    if isinstance(value, dict):
        skip = ("_scope_", *dropped)
        return {k: without_scope(v, *dropped) for k, v in value.items() if k not in skip}
    if isinstance(value, (list, tuple)):
        return [without_scope(v, *dropped) for v in value]
    return value


def test_mask2former_is_that_of_mmdet_but_for_classes_and_encoder() -> None:
    theirs = Config.fromfile(find_config(MASK2FORMER)).model
    ours = Config.fromfile(CONFIGS / "baselines/base_mask2former.py").model
    dropped = ("num_things_classes", "class_weight", "data_preprocessor", "backbone", "init_cfg")
    assert without_scope(ours, *dropped) == without_scope(theirs, *dropped)


def test_point_rend_is_that_of_mmdet_but_for_classes_encoder_and_numbers_of_boxes() -> None:
    theirs = Config.fromfile(find_config(POINT_REND)).model
    ours = Config.fromfile(CONFIGS / "baselines/base_point-rend.py").model
    assert ours.roi_head.type == f"attnseg.{theirs.roi_head.type}"
    ours.roi_head.type = theirs.roi_head.type
    numbers = ("max_per_img", "nms_pre", "score_thr")
    dropped = ("num_classes", "data_preprocessor", "backbone", "init_cfg", *numbers)
    assert without_scope(ours, *dropped) == without_scope(theirs, *dropped)


@pytest.mark.parametrize("path", SEMANTIC, ids=name_of)
def test_semantic_leaf_trains_a_step_and_predicts(path: Path, demo_set: Path) -> None:
    cfg = on_demo_set(Config.fromfile(path), demo_set)
    set_classes(cfg)
    # U-Net needs sides that its four halvings divide; SegFormer's depth draws at random.
    train_a_step_and_predict(build(cfg), cfg)


@pytest.mark.parametrize("path", SEMANTIC, ids=name_of)
def test_semantic_leaf_is_at_the_setting_of_manet(path: Path) -> None:
    cfg = Config.fromfile(path)
    rest = path.stem.split("_", 2)[2]
    (own,) = CONFIGS.glob(f"manet/manet_*_{rest}.py")
    ours = Config.fromfile(own)
    for key in ("train_dataloader", "val_dataloader", "test_dataloader"):
        assert cfg[key].to_dict() == ours[key].to_dict()
    for key in (
        "val_evaluator",
        "test_evaluator",
        "train_cfg",
        "optim_wrapper",
        "param_scheduler",
        "randomness",
        "num_classes",
    ):
        assert cfg[key] == ours[key]
    theirs = {"pad_val": 0, **without_scope(ours.model.data_preprocessor)}
    assert without_scope(cfg.model.data_preprocessor) == theirs
    assert without_scope(cfg.model.test_cfg) == without_scope(ours.model.test_cfg)
    assert {head.num_classes for head in pixel_heads(cfg)} == {ours.num_classes}
    for name, weight in (("decode_head", 1.0), ("auxiliary_head", 0.4)):
        head = cfg.model.get(name)
        if head is not None:
            reference = ours.model[name]
            reference = reference[0] if isinstance(reference, list) else reference
            assert losses_of(head) == losses_of(reference)
            assert losses_of(head)[0]["loss_weight"] == weight


def losses_of(head: Any) -> list[dict]:
    """Losses of a head, with defaults written out."""
    losses = head.loss_decode if isinstance(head.loss_decode, list) else [head.loss_decode]
    return [{"use_sigmoid": False, "loss_weight": 1.0, **without_scope(one)} for one in losses]


UNET = "mmseg::unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024.py"
SEGFORMER = "mmseg::segformer/segformer_mit-{}_8xb2-160k_ade20k-512x512.py"
DEEPLAB = "mmseg::deeplabv3plus/deeplabv3plus_{}-d8_4xb2-80k_cityscapes-512x1024.py"


@pytest.mark.parametrize(
    ("base", "theirs"),
    [
        ("base_unet", UNET),
        ("base_segformer_b0", SEGFORMER.format("b0")),
        ("base_segformer_b2", SEGFORMER.format("b2")),
        ("base_deeplabv3plus_r50", DEEPLAB.format("r50")),
        ("base_deeplabv3plus_r18", DEEPLAB.format("r18")),
    ],
)
def test_semantic_peers_are_those_of_mmseg_but_for_classes_norm_and_weights(
    base: str, theirs: str
) -> None:
    dropped = (
        "num_classes",
        "norm_cfg",
        "pretrained",
        "init_cfg",
        "avg_non_ignore",
        "data_preprocessor",
        "crop_size",
        "stride",
    )
    ours = Config.fromfile(CONFIGS / f"baselines/{base}.py").model
    assert without_scope(ours, *dropped) == without_scope(
        Config.fromfile(find_config(theirs)).model, *dropped
    )
    norms = str(ours)
    assert "SyncBN" not in norms
    assert "'BN'" in norms


@pytest.mark.parametrize("path", ALL_LEAVES, ids=name_of)
def test_leaf_downloads_nothing(path: Path) -> None:
    text = Config.fromfile(path).model
    assert "Pretrained" not in str(text)
    assert "://" not in str(text)


@pytest.mark.skipif(operators_compiled(), reason="mmcv's operators are compiled here")
@pytest.mark.parametrize("method", ["mask-rcnn", "point-rend"])
def test_without_operators_training_ends_in_one_line_before_it_starts(
    method: str, demo_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = (p for p in NEEDS_OPS if p.name.startswith(method) and "dsb2018" in p.name)
    cfg = build_config(path, work_dir=tmp_path / "run", data=demo_set)
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: run_train(cfg))
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("error: mmcv operator 'nms' is not compiled")
    assert "Mask R-CNN" in line and "make ops" in line
