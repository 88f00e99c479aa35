"""Keys that nothing reads are named with the right one; test_config_sources.py has the others."""

import logging
from pathlib import Path

import pytest
from mmengine.logging import MMLogger

from attnseg.apis.config_sources import read_sources
from attnseg.apis.config_typos import find_typos, warn_of_typos
from attnseg.apis.experiment import build_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
IAUNET = "iaunet/iaunet_small_1xb4-1200i_dsb2018-instance-128x128.py"
SOLO = "cspam_solov2/cspam-solov2_r50-small_1xb4-1200i_coco-mini-instance-144x256.py"
SEGFORMER = "baselines/segformer_b0_1xb8-400i_camvid11-semantic-128x128.py"
MASKATTN = "maskattn_unet/maskattn-unet_small_1xb8-400i_demo-panoptic-128x128.py"
# (config, text of the child, dotted key that is wrong, the right name)
PLANTED = [
    (IAUNET, "optim_wrapper = dict(optimizer=dict(lr_=1e-3))", "optim_wrapper.optimizer.lr_", "lr"),
    (IAUNET, "train_cfg = dict(max_iter=5)", "train_cfg.max_iter", "max_iters"),
    (IAUNET, "train_cfg = dict(val_intervall=5)", "train_cfg.val_intervall", "val_interval"),
    (IAUNET, "model = dict(head=dict(num_clases=2))", "model.head.num_clases", "num_classes"),
    (IAUNET, "optim_wraper = dict(clip_grad=None)", "optim_wraper", "optim_wrapper"),
    (
        IAUNET,
        "optim_wrapper = dict(paramwise_cfgs=dict(bias_lr_mult=2.0))",
        "optim_wrapper.paramwise_cfgs",
        "paramwise_cfg",
    ),
    (
        IAUNET,
        "optim_wrapper = dict(paramwise_cfg=dict(bias_lr_mul=2.0))",
        "optim_wrapper.paramwise_cfg.bias_lr_mul",
        "bias_lr_mult",
    ),
    (IAUNET, "optim_wrapper = dict(clip_grads=None)", "optim_wrapper.clip_grads", "clip_grad"),
    (
        IAUNET,
        "optim_wrapper = dict(optimizer=dict(weight_decy=0.1))",
        "optim_wrapper.optimizer.weight_decy",
        "weight_decay",
    ),
    (IAUNET, "model = dict(bacbone=dict(stem_stride=4))", "model.bacbone", "backbone"),
    (IAUNET, "model = dict(backbone=dict(width=(8, 8)))", "model.backbone.width", "widths"),
    (IAUNET, "model = dict(head=dict(num_head=8))", "model.head.num_head", "num_heads"),
    (IAUNET, "model = dict(head=dict(num_querys=8))", "model.head.num_querys", "num_queries"),
    (
        IAUNET,
        "model = dict(head=dict(deep_supervison=False))",
        "model.head.deep_supervison",
        "deep_supervision",
    ),
    (IAUNET, "model = dict(test_cfg=dict(nms_io=0.5))", "model.test_cfg.nms_io", "nms_iou"),
    (
        IAUNET,
        "model = dict(data_preprocessor=dict(pad_size_diviser=64))",
        "model.data_preprocessor.pad_size_diviser",
        "pad_size_divisor",
    ),
    (
        IAUNET,
        "train_dataloader = dict(batchsize=2)",
        "train_dataloader.batchsize",
        "batch_size",
    ),
    (IAUNET, "train_dataloader = dict(num_worker=0)", "train_dataloader.num_worker", "num_workers"),
    (
        IAUNET,
        "val_dataloader = dict(dataset=dict(anno_file='x'))",
        "val_dataloader.dataset.anno_file",
        "ann_file",
    ),
    (
        IAUNET,
        "train_dataloader = dict(dataset=dict(data_rot='x'))",
        "train_dataloader.dataset.data_rot",
        "data_root",
    ),
    (
        IAUNET,
        "default_hooks = dict(checkpoint=dict(max_keep_ckpt=1))",
        "default_hooks.checkpoint.max_keep_ckpt",
        "max_keep_ckpts",
    ),
    (
        IAUNET,
        "default_hooks = dict(checkpoints=dict(interval=1))",
        "default_hooks.checkpoints",
        "checkpoint",
    ),
    (
        IAUNET,
        "default_hooks = dict(logger=dict(intervall=1))",
        "default_hooks.logger.intervall",
        "interval",
    ),
    (
        IAUNET,
        "env_cfg = dict(cudnn_benchmarks=True)",
        "env_cfg.cudnn_benchmarks",
        "cudnn_benchmark",
    ),
    (IAUNET, "randomness = dict(seeds=1)", "randomness.seeds", "seed"),
    (IAUNET, "load_form = 'x.pth'", "load_form", "load_from"),
    (
        IAUNET,
        "auto_scale_lr = dict(base_batchsize=8)",
        "auto_scale_lr.base_batchsize",
        "base_batch_size",
    ),
    (IAUNET, "num_clases = 3", "num_clases", "num_classes"),
    (
        IAUNET,
        "param_scheduler = [dict(type='LinearLR', start_facter=0.1, end=5)]",
        "param_scheduler.0.start_facter",
        "start_factor",
    ),
    (SOLO, "model = dict(mask_head=dict(num_grid=[4]))", "model.mask_head.num_grid", "num_grids"),
    (
        SOLO,
        "model = dict(mask_head=dict(mask_feature_head=dict(start_levels=1)))",
        "model.mask_head.mask_feature_head.start_levels",
        "start_level",
    ),
    (SOLO, "model = dict(neck=dict(out_channel=8))", "model.neck.out_channel", "out_channels"),
    (SOLO, "log_processor = dict(windowsize=5)", "log_processor.windowsize", "window_size"),
    (
        SEGFORMER,
        "model = dict(decode_head=dict(droput_ratio=0.0))",
        "model.decode_head.droput_ratio",
        "dropout_ratio",
    ),
    (
        SEGFORMER,
        "model = dict(backbone=dict(drop_path_rates=0.0))",
        "model.backbone.drop_path_rates",
        "drop_path_rate",
    ),
    (
        SEGFORMER,
        "model = dict(decode_head=dict(loss_decode=dict(class_weigth=[1.0])))",
        "model.decode_head.loss_decode.class_weigth",
        "class_weight",
    ),
    (MASKATTN, "visualiser = dict(alpha=0.5)", "visualiser", "visualizer"),
    (MASKATTN, "val_evalutor = dict(type='X')", "val_evalutor", "val_evaluator"),
    (
        MASKATTN,
        "train_dataloader = dict(sampler=dict(shufle=False))",
        "train_dataloader.sampler.shufle",
        "shuffle",
    ),
    (
        MASKATTN,
        "train_dataloader = dict(dataset=dict(data_prefix=dict(imgs='x/')))",
        "train_dataloader.dataset.data_prefix.imgs",
        "img",
    ),
]


def child(base: str, text: str, folder: Path) -> Path:
    """A leaf over one of ours."""
    path = folder / "child.py"
    path.write_text(f"_base_ = {str(CONFIGS / base)!r}\n{text}\n")
    return path


@pytest.mark.parametrize(("base", "text", "key", "right"), PLANTED, ids=[p[2] for p in PLANTED])
def test_planted_typo_is_found(base: str, text: str, key: str, right: str, tmp_path: Path) -> None:
    (found,) = find_typos(read_sources(child(base, text, tmp_path)))
    assert (found.key, found.nearest, found.line) == (key, right, 2)
    assert found.file.endswith("child.py")


@pytest.mark.parametrize(
    "text",
    [
        "model = dict(backbone=dict(_delete_=True, type='attnseg.UNetEncoder', widths=(8, 8)))",
        "model = dict(backbone=dict(init_cfg=None))",
        "optim_wrapper = dict(accumulative_counts=2, paramwise_cfg=dict(custom_keys=dict(x={})))",
        "optim_wrapper = dict(optimizer=dict(betas=(0.9, 0.99), foreach=False))",
        "train_dataloader = dict(pin_memory=True, drop_last=True, collate_fn=dict(type='x'))",
        "custom_hooks = [dict(type='EMAHook', momentum=0.1, priority=49)]",
        "default_hooks = dict(profile=dict(type='ProfilerHook', by_epoch=False))",
        "sync_bn = 'torch'\ncompile = False",
        "size = 7\nmodel = dict(head=dict(num_queries=size))",
        "train_cfg = dict(val_begin=5, dynamic_intervals=[(0, 5)])",
        "val_cfg = dict(fp16=True)",
    ],
)
def test_new_keys_that_something_reads_are_right(text: str, tmp_path: Path) -> None:
    assert find_typos(read_sources(child(IAUNET, text, tmp_path))) == []


def test_a_new_class_is_held_to_its_own_arguments(tmp_path: Path) -> None:
    text = "model = dict(backbone=dict(type='mmdet.ResNet', depht=18, norm_eval=True))"
    (found,) = find_typos(read_sources(child(IAUNET, text, tmp_path)))
    assert (found.key, found.nearest) == ("model.backbone.depht", "depth")


def test_a_value_that_two_keys_share_is_one_warning(tmp_path: Path) -> None:
    text = "val_dataloader = dict(batchsize=2); test_dataloader = val_dataloader"
    (found,) = find_typos(read_sources(child(IAUNET, text, tmp_path)))
    assert found.key == "val_dataloader.batchsize"


def test_training_warns_in_one_line_and_starts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = child(IAUNET, "train_cfg = dict(val_intervall=5)", tmp_path)
    monkeypatch.setattr(MMLogger.get_current_instance(), "handlers", [caplog.handler])
    with caplog.at_level(logging.WARNING):
        cfg = build_config(path, cfg_options={"model.head.num_querys": 3})
    assert cfg.model.head.num_querys == 3
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if "not in the base" in line] == [
        f"{path}:2: 'train_cfg.val_intervall' is not in the base, and nothing known reads it. "
        "Did you mean val_interval?",
        "--cfg-options: 'model.head.num_querys' is not in the base, and nothing known reads it. "
        "Did you mean num_queries?",
    ]


@pytest.mark.parametrize(
    ("variables", "warns"),
    [
        ({}, True),
        ({"RANK": "0", "SLURM_PROCID": "1"}, True),
        ({"RANK": "1", "SLURM_PROCID": "0"}, False),
        ({"SLURM_PROCID": "1"}, False),
    ],
)
def test_only_the_first_process_warns(
    variables: dict[str, str],
    warns: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    path = child(IAUNET, "train_cfg = dict(val_intervall=5)", tmp_path)
    monkeypatch.setattr(MMLogger.get_current_instance(), "handlers", [caplog.handler])
    with caplog.at_level(logging.WARNING):
        warn_of_typos(path)
    assert any("val_intervall" in record.getMessage() for record in caplog.records) is warns


def test_a_config_that_cannot_be_followed_ends_no_run(tmp_path: Path) -> None:
    path = tmp_path / "lazy.py"
    path.write_text("with read_base():\n    from .a import *\n")
    warn_of_typos(path)
