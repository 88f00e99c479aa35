"""A folder in which the commands of a page run: demo set, weights, records of the right names."""

import argparse
import re
import runpy
import shutil
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from attnseg.apis import experiment
from attnseg.apis.experiment import shorten_training
from attnseg.apis.schedule import step_unit
from attnseg.apis.sweep.sweep_file import read_sweep
from attnseg.registry import MODELS
from tests.apis.scale_rooms import put_on_demo_set
from tests.docs.kinds import CONFIG_OF_PAGE, PLACEHOLDERS, program
from tests.docs.pages import REPO, Command, blocks
from tests.leaderboard.factory import measured_run

SETS = [
    "dsb2018",
    "coco",
    "coco_mini",
    "cityscapes",
    "camvid11",
    "livecell",
    "evican",
    "mine",
    "demo",
]
CHECKPOINT = re.compile(r"\S+\.(?:pth|safetensors)$")


class Read(BaseException):
    """The parser has read the command line: go no further."""


def make_world(root: Path, page: str, demo_set: Path) -> Path:
    """Make the folder of a page: its config files, data sets of all names, records, no weights."""
    root.mkdir(parents=True)
    (root / "data").mkdir()
    for name in SETS:
        (root / "data" / name).symlink_to(demo_set)
    (root / "configs").symlink_to(REPO / "configs")
    # Pages that call their reader's config so, and show none.
    base = PLACEHOLDERS["CONFIG"]
    (root / "mine.py").write_text(f'_base_ = "attnseg::maskattn_unet/{base}.py"\n')
    for language, text in blocks(REPO / page):
        name = re.match(r"# (\w+\.py)\n", text)
        if language == "python" and name:
            (root / name[1]).write_text(text)
        elif language == "python" and page == "docs/sweeps.md" and text.startswith("title"):
            (root / "lambda.py").write_text(text)
    for folder, name, quality in (
        ("work_dirs", "a", 0.6),
        ("work_dirs", "b", 0.7),
        ("runs", "A", 0.6),
        ("runs", "B", 0.7),
    ):
        made = measured_run(root / folder, name, quality).parents[1]
        made.rename(root / folder / name)
    for name in ("instances_val.json", "image_info_test-dev2017.json"):
        shutil.copy(demo_set / "annotations/instances_val.json", root / name)
    return root


def words_here(command: Command) -> list[str]:
    """The words of a command with what stands for the reader's own names filled in."""
    names = PLACEHOLDERS | (
        {"CONFIG": CONFIG_OF_PAGE[command.page]} if command.page in CONFIG_OF_PAGE else {}
    )
    words = [names.get(word, word) for word in command.words]
    words = [re.sub(r"^/data\b", "data", word) for word in words]
    words = [re.sub(r"NAME_SEED|NAME|RUN\b", "mine", word) for word in words]
    return [word.replace("work_dirs/...", "work_dirs/mine") for word in words]


def call(tool: str, words: list[str], monkeypatch: Any) -> None:
    """Run a tool in this process; an end with another status than 0 is an error."""
    monkeypatch.setattr(sys, "argv", [str(REPO / f"tools/{tool}.py"), *words])
    try:
        runpy.run_path(str(REPO / f"tools/{tool}.py"), run_name="__main__")
    except SystemExit as end:
        allowed = (0, None, 1) if words[:1] == ["diff"] else (0, None)
        assert end.code in allowed, f"status {end.code}"


def tiny(cfg: Config, demo_set: Path) -> Config:
    """The config of a command on the demo set, training on two of its images."""
    put_on_demo_set(cfg, demo_set)
    cfg.train_dataloader.dataset.indices = 2
    given = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    asked = cfg.val_evaluator if isinstance(cfg.val_evaluator, list) else [cfg.val_evaluator]
    writers = [one for one in given if one["type"] == "attnseg.PredictionWriter"]
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, [*asked, *writers]
    return cfg


def for_one_step(demo_set: Path, original: Callable[[Config], Any]) -> Callable[[Config], Any]:
    """``run_train`` for one step."""

    def run_train(cfg: Config) -> Any:
        tiny(cfg, demo_set)
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks if "Early" not in hook["type"]]
        updates = 1 if step_unit(cfg) == "max_epochs" else cfg.get("scale", {}).get("accumulate", 1)
        shorten_training(cfg, updates)
        cfg.default_hooks.checkpoint.interval = updates
        return original(cfg)

    return run_train


def with_drawn_weights(
    demo_set: Path, original: Callable[[Config], Any]
) -> Callable[[Config], Any]:
    """``run_test`` with drawn weights, which the named file holds from then on."""

    def run_test(cfg: Config) -> Any:
        tiny(cfg, demo_set)
        init_default_scope(cfg.default_scope)
        # Of these weights something is found, which a submission needs.
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        torch.save({"state_dict": model.state_dict()}, cfg.load_from)
        return original(cfg)

    return run_test


def put_weights(words: list[str]) -> None:
    """Let the files of weights exist that a command names; tests write them anew."""
    for word in words:
        path = Path(word.rpartition("=")[2])
        if CHECKPOINT.match(word) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save({"state_dict": {}}, path)


def check_read(command: Command, words: list[str], monkeypatch: Any) -> None:
    """Let the tool's own parser read the command, and build the config that it names."""
    tool = program(command)
    seen: dict[str, Any] = {}
    original = argparse.ArgumentParser.parse_args

    def parse_args(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen["arguments"] = original(self, *args, **kwargs)
        raise Read

    def stop(cfg: Config) -> None:
        seen["config"] = cfg
        raise Read

    if tool in ("train", "test"):
        monkeypatch.setattr(experiment, f"run_{tool}", stop)
    else:
        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
    with suppress(Read):
        call(tool, words, monkeypatch)
    assert seen, "the command ended before its line was read"
    if "config" in seen:
        build_model(seen["config"])
        return
    given = vars(seen["arguments"])
    for name in (given.get("config"), *(given.get("configs") or ())):
        if name:
            assert experiment.find_config(name).is_file()
    if given.get("sweep"):
        assert read_sweep(find_sweep(given["sweep"])).cells()


def find_sweep(name: str) -> Path:
    """Path of a sweep that a command names."""
    for path in (Path(name), REPO / "configs/sweeps" / f"{name}.py"):
        if path.is_file():
            return path
    raise AssertionError(f"sweep '{name}' not found")


def build_model(cfg: Config) -> None:
    """Build the model of a config without memory for its weights; data sets alone have none."""
    if cfg.get("model"):
        init_default_scope(cfg.get("default_scope", "mmdet"))
        # mmdet's Swin reads a value from a tensor while it is built.
        swin = "Swin" in str(cfg.model)
        with nullcontext() if swin else torch.device("meta"):
            assert sum(p.numel() for p in MODELS.build(cfg.model).parameters())
