"""Every leaf parses, builds, trains one step and predicts once at a tiny size."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from attnseg.registry import METRICS, MODELS

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
# Leaves of mask refinement have no classes and no fixed size: see test_mask_refine.py.
OTHERS = ("_base_", "baselines", "mask_refine", "sweeps")
LEAVES = sorted(
    p
    for p in CONFIGS.glob("*/*.py")
    if p.parent.name not in OTHERS and not p.name.startswith("base")
)
SIZE = (48, 64)
DEMO = {
    "attnseg.CocoPanopticDataset": ("annotations/panoptic_{}.json", "img", "seg", "panoptic/{}/"),
    "attnseg.CocoInstanceDataset": ("annotations/instances_{}.json", "img", None, None),
    "attnseg.CocoPanopticSemanticDataset": (
        "annotations/panoptic_{}.json",
        "img_path",
        "seg_map_path",
        "panoptic/{}/",
    ),
    "attnseg.SemanticDataset": ("", "img_path", "seg_map_path", "semantic/{}/"),
}


def on_demo_set(cfg: Config, root: Path) -> Config:
    """Put the demo set and a tiny size in place of a leaf's data; all else stays."""
    for split in ("train", "val"):
        loader = cfg[f"{split}_dataloader"]
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        data = loader.dataset
        ann_file, image, label, folder = DEMO[data.type]
        data.data_root = str(root)
        data.ann_file = ann_file.format(split)
        data.data_prefix = {image: f"images/{split}/"}
        if label:
            data.data_prefix[label] = folder.format(split)
        for key in ("metainfo", "metainfo_of", "img_suffix", "seg_map_suffix", "indices"):
            data.pop(key, None)
        if data.type == "attnseg.SemanticDataset":
            data.img_suffix = data.seg_map_suffix = ".png"
        step = 3 if split == "train" else 1
        if split == "train":
            data.pipeline[step].size = SIZE
        elif "scale" in data.pipeline[step]:
            data.pipeline[step].scale = SIZE[::-1]
    evaluators = cfg.val_evaluator if isinstance(cfg.val_evaluator, list) else [cfg.val_evaluator]
    for evaluator in evaluators:
        if "ann_file" in evaluator:
            kind = "panoptic" if "seg_prefix" in evaluator else "instances"
            evaluator.ann_file = str(root / f"annotations/{kind}_val.json")
        if "seg_prefix" in evaluator:
            evaluator.seg_prefix = str(root / "panoptic/val")
    cfg.val_evaluator = evaluators
    return cfg


def set_classes(cfg: Config) -> None:
    """Give the model the demo set's 3 things and 2 stuff."""
    if cfg.model.type == "attnseg.IAUNet":
        cfg.model.head.num_classes = 3
        cfg.model.data_preprocessor.pad_size_divisor = 32
        if "windows" in cfg.model.test_cfg:
            cfg.model.test_cfg.windows.update(size=SIZE, overlap=24)
    elif "head" in cfg.model:
        stuff = 2 if cfg.model.head.task == "panoptic" else 0
        cfg.model.head.update(num_things=3, num_stuff=stuff)
    elif "mask_head" in cfg.model:
        # A grid of few cells and thin layers: their numbers are no matter of the leaf's.
        cfg.model.mask_head.update(num_classes=3, num_grids=[8, 6, 4, 3, 2], feat_channels=32)
    else:
        for head in pixel_heads(cfg):
            head.num_classes = 5


def pixel_heads(cfg: Config) -> list[ConfigDict]:
    """The head of a segmentor, and those of its auxiliary losses."""
    auxiliary = cfg.model.get("auxiliary_head") or []
    others = auxiliary if isinstance(auxiliary, list) else [auxiliary]
    return [cfg.model.decode_head, *others]


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.stem)
def test_leaf_trains_a_step_and_predicts(path: Path, demo_set: Path) -> None:
    torch.manual_seed(0)
    cfg = on_demo_set(Config.fromfile(path), demo_set)
    set_classes(cfg)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    model.init_weights()
    train_a_step_and_predict(model, cfg)


def train_a_step_and_predict(model: torch.nn.Module, cfg: Config) -> None:
    """One step with a finite gradient for each parameter, then the values of the val set."""
    optim = Runner.build_optim_wrapper(FakeRunner(model), cfg.optim_wrapper)
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    seen: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        parameter.register_hook(lambda grad, name=name: seen.update({name: grad}))
    logged = model.train_step(batch, optim)
    assert logged["loss"].isfinite()
    assert set(seen) == {name for name, _ in model.named_parameters()}
    assert all(grad.isfinite().all() for grad in seen.values())

    loader = Runner.build_dataloader(cfg.val_dataloader)
    metrics = [METRICS.build(m) for m in cfg.val_evaluator]
    model.eval()
    with torch.no_grad():
        for data in loader:
            samples = [s.to_dict() for s in model.val_step(data)]
            for metric in metrics:
                metric.dataset_meta = loader.dataset.metainfo
                metric.process(data, samples)
    values = {k: v for m in metrics for k, v in m.evaluate(len(loader.dataset)).items()}
    assert values
    assert all(-1 <= v <= 1 for v in values.values() if v == v)


class FakeRunner:
    """The part of a runner that build_optim_wrapper reads."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.stem)
def test_class_counts_agree_with_the_data_and_the_name_with_the_size(path: Path) -> None:
    cfg = Config.fromfile(path)
    if cfg.model.type == "attnseg.IAUNet":
        assert cfg.model.head.num_classes == cfg.num_classes
        limits = [m.max_dets[-1] for m in cfg.val_evaluator if "max_dets" in m]
        most = cfg.model.test_cfg.max_per_img
        assert cfg.model.head.num_queries <= most <= min(limits, default=most)
    elif "head" in cfg.model:
        head = cfg.model.head
        assert head.num_things + head.num_stuff == cfg.num_classes
    elif "mask_head" in cfg.model:
        assert cfg.model.mask_head.num_classes == cfg.num_classes
    else:
        assert {head.num_classes for head in pixel_heads(cfg)} == {cfg.num_classes}
    height, width = map(int, path.stem.split("-")[-1].split("_")[0].split("x"))
    resize, windows = (
        cfg.val_dataloader.dataset.pipeline[1],
        cfg.model.get("test_cfg", {}).get("windows"),
    )
    size = windows.size if windows else resize.scale[::-1]
    assert tuple(size) == (height, width)
    assert tuple(cfg.train_dataloader.dataset.pipeline[3].size) == (height, width)
    if "max_iters" in cfg.train_cfg:
        assert f"{cfg.train_cfg.max_iters}i_" in path.stem
    else:
        assert f"{cfg.train_cfg.max_epochs}e_" in path.stem
    assert f"xb{cfg.train_dataloader.batch_size}-" in path.stem


def test_leaves_are_short() -> None:
    lengths = sorted(len(p.read_text().splitlines()) for p in LEAVES)
    assert lengths[len(lengths) // 2] < 20
