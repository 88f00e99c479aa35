"""Every data set base: parses beside any runtime and schedule, and gives samples."""

import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import (
    DATASETS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    DefaultScope,
)

from attnseg.registry import METRICS

REPO = Path(__file__).resolve().parents[2]
BASES = sorted((REPO / "configs/_base_/datasets").glob("*.py"))
# Things and stuff, by the papers of the data sets.
COUNTS = {"coco": (80, 53), "ade20k": (100, 50), "cityscapes": (8, 11), "dsb2018": (1, 1)}
COUNTS |= {"demo": (3, 2), "coco_mini": (80, 0), "camvid11": (11, 0), "evican": (2, 0)}
COUNTS |= {"cityscapes_street": (5, 0)}
COUNTS |= {name: (1, 0) for name in ("usiigaci", "livecell", "neurips_cellseg", "revvity")}
CELLS = [path for path in BASES if path.stem.endswith("_cells")]
SCHEDULES = sorted((REPO / "configs/_base_/schedules").glob("*.py"))


def split_name(path):
    return path.stem.removesuffix("_windows").rsplit("_", 1)


@pytest.mark.parametrize("path", BASES, ids=lambda path: path.stem)
def test_base_says_its_classes_and_paths(path):
    name, task = split_name(path)
    cfg = Config.fromfile(path)
    things, stuff = COUNTS[name]
    assert cfg.num_classes == (things + stuff if task in ("panoptic", "semantic") else things)
    if task == "panoptic":
        assert (cfg.num_things, cfg.num_stuff) == (things, stuff)
    paper = name in ("coco", "ade20k", "cityscapes", "cityscapes_street")
    sampler = "DefaultSampler" if paper else "InfiniteSampler"
    assert cfg.train_dataloader.sampler == {"type": sampler, "shuffle": True}
    for split in ("train", "val", "test"):
        assert cfg[f"{split}_dataloader"].dataset.data_root == cfg.data_root
    for split in ("val", "test"):
        chosen = cfg[f"{split}_evaluator"]
        for evaluator in chosen if isinstance(chosen, list) else [chosen]:
            for key in ("ann_file", "seg_prefix"):
                assert evaluator.get(key, cfg.data_root).startswith(cfg.data_root)
            if task != "panoptic" and "ann_file" in evaluator:
                truth = cfg[f"{split}_dataloader"].dataset.ann_file
                assert evaluator.ann_file == cfg.data_root + truth


def test_numbers_of_classes_are_those_of_the_frameworks():
    from mmdet.datasets import ADE20KPanopticDataset, CocoDataset
    from mmdet.datasets import CocoPanopticDataset as MMDetPanoptic
    from mmseg.datasets import ADE20KDataset, CityscapesDataset

    def base(name):
        return Config.fromfile(REPO / f"configs/_base_/datasets/{name}.py")

    for name, reference in (
        ("coco", MMDetPanoptic),
        ("ade20k", ADE20KPanopticDataset),
    ):
        cfg, meta = base(f"{name}_panoptic"), reference.METAINFO
        assert cfg.num_things == len(meta["thing_classes"])
        assert cfg.num_stuff == len(meta["stuff_classes"])
        assert base(f"{name}_instance").num_classes == len(meta["thing_classes"])
    assert base("coco_semantic").num_classes == len(MMDetPanoptic.METAINFO["classes"])
    for name, reference in (
        ("coco_instance", CocoDataset),
        ("coco_mini_instance", CocoDataset),
        ("ade20k_semantic", ADE20KDataset),
        ("cityscapes_semantic", CityscapesDataset),
        ("cityscapes_panoptic", CityscapesDataset),
    ):
        assert base(name).num_classes == len(reference.METAINFO["classes"])


@pytest.mark.parametrize("task", ["instance", "panoptic", "semantic"])
def test_demo_bases_load_every_sample_of_the_demo_set(task, demo_set):
    cfg = Config.fromfile(REPO / f"configs/_base_/datasets/demo_{task}.py")
    counts = {"train": 8, "val": 4, "test": 4}
    with DefaultScope.overwrite_default_scope("mmseg" if task == "semantic" else "mmdet"):
        for split, count in counts.items():
            dataset = DATASETS.build(
                {**cfg[f"{split}_dataloader"].dataset, "data_root": str(demo_set)}
            )
            assert len(dataset) == count
            assert len(dataset.metainfo["classes"]) == cfg.num_classes
            found = set()
            for sample in dataset:
                data = sample["data_samples"]
                labels = data.gt_sem_seg.data if task == "semantic" else data.gt_instances.labels
                found |= set(labels.unique().tolist()) - {255}
            assert found == set(range(5 if task == "semantic" else 3))


@pytest.mark.parametrize("path", BASES, ids=lambda path: path.stem)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda path: path.stem)
def test_bases_share_no_key(path, schedule, tmp_path):
    runtime = "semantic.py" if path.stem.endswith("semantic") else "detection.py"
    base = REPO / "configs/_base_"
    parts = [str(path), str(schedule), str(base / "runtime" / runtime)]
    leaf = tmp_path / "leaf.py"
    leaf.write_text(f"_base_ = {parts}\n")
    assert Config.fromfile(leaf).default_scope == ("mmseg" if "semantic" in runtime else "mmdet")


def test_a_leaf_changes_the_size_in_three_lines(tmp_path):
    leaf = tmp_path / "leaf.py"
    leaf.write_text(
        f'_base_ = "{REPO}/configs/_base_/datasets/demo_panoptic.py"\n'
        "_base_.train_dataloader.dataset.pipeline[3].size = (64, 48)\n"
        "_base_.val_dataloader.dataset.pipeline[1].scale = (48, 64)\n"
        "_base_.test_dataloader.dataset.pipeline[1].scale = (48, 64)\n"
    )
    cfg = Config.fromfile(leaf)
    assert cfg.train_dataloader.dataset.pipeline[3]["size"] == (64, 48)
    assert cfg.test_dataloader.dataset.pipeline[1]["scale"] == (48, 64)


def with_data(path, demo_set, data_root):
    """Fitting data for a base: the real set, or the demo set in the same form."""
    name = split_name(path)[0]
    if name == "demo":
        return demo_set
    if data_root is not None and (data_root / name).is_dir():
        return data_root / name
    return demo_set if name == "dsb2018" else None


@pytest.mark.parametrize(
    "path",
    [
        p
        for p in BASES
        if split_name(p)[0] in ("demo", "dsb2018", "camvid11", "coco_mini")
        and "_cells" not in p.stem
        and not p.stem.endswith("_refinement")
    ],
    ids=lambda path: path.stem,
)
def test_small_sets_give_samples_of_128_and_truth_at_full_size(path, demo_set, data_root):
    root = with_data(path, demo_set, data_root)
    cfg = Config.fromfile(path)
    if root is None:
        # The demo set has the form of camvid11 and of coco_mini, under its own names.
        task = split_name(path)[1]
        cfg = Config.fromfile(path.parent / f"demo_{task}.py")
        root = demo_set
    with DefaultScope.overwrite_default_scope("mmseg" if "semantic" in path.stem else "mmdet"):
        for split in ("train", "val", "test"):
            dataset = DATASETS.build({**cfg[f"{split}_dataloader"].dataset, "data_root": str(root)})
            if root != demo_set or split_name(path)[0] == "demo":
                assert len(dataset.metainfo["classes"]) == cfg.num_classes
            sample = dataset[len(dataset) - 1]
            data = sample["data_samples"]
            assert sample["inputs"].shape == (3, 128, 128)
            assert split == "train" or data.img_shape == (128, 128)
            assert {"img_id", "img_path", "ori_shape", "scale_factor"} <= set(data.metainfo_keys())
            size = (128, 128) if split == "train" else data.ori_shape
            if "gt_sem_seg" in data:
                assert data.gt_sem_seg.shape == size
            if "gt_instances" in data:
                assert data.gt_instances.masks.masks.shape[1:] == size
                assert len(data.gt_instances.masks) == len(data.gt_instances.labels)


@pytest.mark.parametrize(
    "path",
    [p for p in CELLS if split_name(p)[0] in ("dsb2018", "usiigaci")],
    ids=lambda path: path.stem,
)
def test_cells_are_brought_to_512_with_their_ratio(path, demo_set, data_root):
    name = split_name(path)[0]
    real = data_root is not None and (data_root / name).is_dir()
    root = data_root / name if real else demo_set
    cfg = Config.fromfile(path)
    for split in ("train", "val", "test"):
        dataset = DATASETS.build({**cfg[f"{split}_dataloader"].dataset, "data_root": str(root)})
        sample = dataset[len(dataset) - 1]
        data = sample["data_samples"]
        height, width = data.ori_shape
        if split == "train":
            assert sample["inputs"].shape == (3, 512, 512)
            assert data.gt_instances.masks.masks.shape[1:] == (512, 512)
            assert len(data.gt_instances.masks) == len(data.gt_instances.labels)
            assert 0.8 <= max(data.scale_factor) * max(height, width) / 512 <= 1.5
        else:
            expected = [round(side * 512 / max(height, width)) for side in (height, width)]
            assert sample["inputs"].shape == (3, *expected)
            assert data.gt_instances.masks.masks.shape[1:] == (height, width)
    metrics = [
        METRICS.build({**m, "ann_file": str(root / "annotations/instances_val.json")})
        for m in cfg.val_evaluator
    ]
    assert metrics[0].settings["max_dets"] == [1, 100, 1000]


def test_flips_are_independent_and_the_jitter_is_the_papers():
    cfg = Config.fromfile(CELLS[0])
    flips, jitter = cfg.train_pipeline[2:4]
    assert flips.direction == ["horizontal", "vertical", "diagonal"]
    by = dict(zip(flips.direction, flips.prob, strict=True))
    assert by["horizontal"] + by["diagonal"] == by["vertical"] + by["diagonal"] == 0.5
    assert by["diagonal"] == 0.5 * 0.5
    assert jitter.ratio_range == (0.8, 1.5) and jitter.keep_ratio


@pytest.mark.parametrize("name", ["iaunet_adamw_1e-4", "iaunet_adamw_1e-3_1200i"])
def test_schedules_of_iaunet_end_at_the_lowest_rate(name):
    cfg = Config.fromfile(REPO / f"configs/_base_/schedules/{name}.py")
    model = torch.nn.Linear(2, 2)
    wrapper = OPTIM_WRAPPERS.build(
        {
            **cfg.optim_wrapper,
            "optimizer": OPTIMIZERS.build(
                {**cfg.optim_wrapper.optimizer, "params": model.parameters()}
            ),
        }
    )
    assert wrapper.clip_grad_kwargs == cfg.grad_clip
    schedulers = [
        PARAM_SCHEDULERS.build({**step, "optimizer": wrapper}) for step in cfg.param_scheduler
    ]
    rates = []
    for _ in range(cfg.max_iters):
        rates.append(wrapper.get_lr()["lr"][0])
        for scheduler in schedulers:
            scheduler.step()
    last = wrapper.get_lr()["lr"][0]
    start = cfg.get("warmup_iters", 0)
    assert max(rates) == pytest.approx(cfg.lr) == pytest.approx(rates[start])
    middle = (start + cfg.max_iters) // 2
    assert rates[middle] == pytest.approx((cfg.lr + cfg.lr_min) / 2, rel=0.01)
    assert last == pytest.approx(1e-6, rel=0.02)


def test_demo_tool_runs_from_any_folder(tmp_path):
    script = REPO / "tools/make_demo_set.py"
    settings = ["--num-train", "1", "--num-val", "1", "--size", "24", "32"]
    made = subprocess.run(
        [sys.executable, str(script), "demo", *settings],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "demo/images/val/val_00000.png").is_file()


def test_converter_tools(tmp_path, cityscapes_like, demo_set, monkeypatch, capsys):
    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(REPO / f"tools/dataset_converters/{name}.py"), run_name="__main__")

    run("cityscapes", cityscapes_like)
    assert "instances_val.json" in capsys.readouterr().out
    instances = demo_set / "annotations/instances_val.json"
    run("panoptic_from_instances", instances, tmp_path / "p.json", tmp_path / "png")
    assert (tmp_path / "png/val_00000.png").is_file()
    with pytest.raises(SystemExit):
        run("ade20k", "nowhere")
    assert "ADE20K folder 'nowhere' lacks images" in capsys.readouterr().err


@pytest.fixture
def cityscapes_like(tmp_path):
    """A val split of one frame of sky."""
    root = tmp_path / "city"
    for folder, name, value in (
        ("leftImg8bit", "leftImg8bit", 90),
        ("gtFine", "gtFine_instanceIds", 23),
    ):
        (root / folder / "val/x").mkdir(parents=True)
        image = np.full((6, 8), value, np.uint8)
        cv2.imwrite(str(root / folder / f"val/x/x_0_0_{name}.png"), image)
    return root


@pytest.mark.parametrize(
    "path", [p for p in BASES if p.stem.endswith("_windows")], ids=lambda p: p.stem
)
def test_windows_train_on_crops_and_test_whole_images_at_one_scale(path, data_root):
    if (root := with_data(path, None, data_root)) is None:
        return
    cfg = Config.fromfile(path)
    with DefaultScope.overwrite_default_scope("mmdet"):
        for split in ("train", "val"):
            loader = cfg[f"{split}_dataloader"]
            data = DATASETS.build({**loader.dataset, "data_root": str(root)})[0]["data_samples"]
            whole = tuple(round(n * cfg.scale_factor) for n in data.ori_shape)
            assert data.img_shape == (cfg.window if split == "train" else whole)
