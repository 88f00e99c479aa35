"""Configs and options of the command line, damaged as users damage them."""

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from mmengine.config import Config

from attnseg.apis.command import parse_run, run_parser, train_parser
from attnseg.apis.config_diff import run_diff
from attnseg.apis.config_print import run_show
from attnseg.apis.experiment import build_config
from tests.campaign.mutate import ODD, change_bytes, change_value
from tests.campaign.watch import Case

REPO = Path(__file__).resolve().parents[2]
LEAF = REPO / "configs/maskattn_unet/maskattn-unet_small_1xb8-400i_demo-panoptic-128x128.py"
_BROKEN = {
    "no such base": ("./base_panoptic.py", "./base_panoptik.py"),
    "own base": ("./base_panoptic.py", "./mutated.py"),
    "absolute base": ("./base_panoptic.py", "/nowhere/base.py"),
    "library's base": ("./base_panoptic.py", "mmdet::no/such.py"),
    "unknown library": ("./base_panoptic.py", "nolibrary::a/b.py"),
    "base twice": ('"./base_panoptic.py",', '"./base_panoptic.py", "./base_panoptic.py",'),
    "number as base": ('"./base_panoptic.py"', "17"),
    "unknown name": ("in_channels=24", "in_channels=channels"),
    "no such field": ("_base_.num_things", "_base_.num_thing"),
    "division": ("in_channels=24", "in_channels=24 / 0"),
    "missing bracket": ("with_coords=True,", "with_coords=True, ("),
    "missing comma": ("in_channels=24,", "in_channels=24"),
    "indentation": ("model = dict(", "  model = dict("),
    "not Python": ("model = dict(", "model: dict("),
    "text plus number": ("in_channels=24", 'in_channels="24" + 1'),
    "argument twice": ("in_channels=24", "in_channels=24, in_channels=25"),
    "missing package": ("model = dict(", "import no_such_package\nmodel = dict("),
    "raise": ("model = dict(", "raise RuntimeError('wrong')\nmodel = dict("),
    "environment": ("in_channels=24", "in_channels={{$NO_SUCH_VARIABLE:}}"),
    "variable": ("in_channels=24", "in_channels={{_base_.nothing.here}}"),
    "template": ("in_channels=24", "in_channels={{ fileDirname }}"),
    "deep": ("in_channels=24", "in_channels=" + "[" * 300 + "]" * 300),
    "digits": ("in_channels=24", "in_channels=" + "9" * 5000),
    "null byte": ("in_channels=24", "in_channels=\0"),
    "model a list": ("model = dict(", "model = list("),
    "_delete_": ("backbone=dict(", "backbone=dict(_delete_=True, "),
    "reserved": ("model = dict(", "filename = 'x'\ntext = 1\nmodel = dict("),
}
_OPTIONS = (
    *("model.head.num_things=abc", "a.b.c", "=1", "model=1", "model.0=1", "model.head=[]"),
    *("train_dataloader.dataset.pipeline.99.size=1", "train_dataloader.dataset.pipeline.x=1"),
    *("train_dataloader.dataset.pipeline.0=1", "model.head.in_channels=[1,2", "lr=1", "_base_=x"),
    *("model.head.in_channels=(1,(2,3)", "model.__class__=1", "optim_wrapper.optimizer.lr=nan"),
    *("data_root=/nowhere", "data_root=", "work_dir=[]", "model.head.é=1", "model..head=1"),
    *("randomness.seed=-5", "train_cfg=None", "train_dataloader=None", "default_hooks=3"),
    *("custom_hooks=[1]", "load_from=17", "launcher=none", "scale=x", "scale.precision=fp7"),
    *("scale.accumulate=0", "test_evaluator=1", "default_scope=nothing", "visualizer=1"),
    *("model.head.loss_instance.sampling.=1", "train_cfg.max_iters=-1", "{}=1", '"a"=1'),
    *("model=", "model.head.in_channels=1=2", "x" * 3000 + "=1", "model.head.in_channels=\x00"),
)
_WORDS = (
    *(("--max-iters", value) for value in ("0", "-1", "1e3", "9" * 30, "")),
    *(("--seed", value) for value in ("-1", "abc", "9" * 30)),
    *(("--data", value) for value in ("", "/nowhere", "\udcff", "a\nb")),
    *(("--resume", value) for value in ("/nowhere.pth", "", "auto")),
    *(("--load-from", value) for value in ("/nowhere.pth", "", "http://127.0.0.1:9/x.pth", "/tmp")),
    *(("--work-dir", value) for value in ("", "/proc/1/x")),
    *(("--launcher", value) for value in ("pytorch", "slurm", "mpi")),
    *(("--max-epochs", "3"), ("--amp",), ("--auto-scale-lr", "cube"), ("--auto-scale-lr",)),
)


def cases(random: Random, folder: Path, demo: Path) -> Iterator[Case]:
    """Config files and command lines, each for ``train.py``, ``test.py`` or ``print_config.py``."""
    text = LEAF.read_text()
    for base in ("./", "../"):
        text = text.replace(f'"{base}', f'"{LEAF.parent / base}/')
    text = text.replace(f"{LEAF.parent}/./", f"{LEAF.parent}/").replace("//", "/")
    words = ("mutated", "base_panoptic", "--", "_base_", "max_iters", "scale", "checkpoint")
    for number in count():
        place = folder / str(number)
        place.mkdir()
        file = place / "mutated.py"
        kind = random.choice(("text", "value", "bytes", "options", "words"))
        what, given, data = "whole", [], text.encode()
        if number < 2:
            kind = ("text", "options")[number]
        elif kind == "text":
            what = random.choice(list(_BROKEN))
            old, new = _BROKEN[what]
            old, new = old.replace("./", f"{LEAF.parent}/"), new.replace("./", f"{place}/")
            assert old in text, (old, text)
            data = text.replace(old, new).encode()
        elif kind == "value":
            what, data = _changed_value(text, random)
        elif kind == "bytes":
            what, data = change_bytes(text.encode(), random)
            if random.random() < 0.2:
                what, data = "UTF-16", text.encode("utf-16")
        elif kind == "options":
            chosen = random.sample(_OPTIONS, random.choice((1, 1, 2)))
            what, given = repr(chosen)[:60], ["--cfg-options", *chosen]
        else:
            given = list(random.choice(_WORDS))
            what = repr(given)[:60]
        file.write_bytes(data)
        way = random.randrange(4)
        yield Case(
            f"configs/{number} {kind} {what}",
            lambda file=file, given=given, way=way: _read(file, given, way),
            words,
            _same if kind in ("text", "bytes", "value") else None,
            place,
            what == "whole",
        )
        shutil.rmtree(place)


def _changed_value(text: str, random: Random) -> tuple[str, bytes]:
    """A key of the config, or a new one, gets an odd value."""
    keys = ("model.head.in_channels", "model.backbone.preset", "model", "train_cfg", "data_root")
    keys += ("train_dataloader.dataset", "train_dataloader", "custom_hooks", "default_hooks")
    keys += ("val_evaluator", "optim_wrapper", "param_scheduler", "work_dir", "resume", "load_from")
    keys += ("randomness", "scale", "env_cfg", "launcher", "model.head", "auto_scale_lr")
    first, *rest = random.choice(keys).split(".")
    odd: Any = random.choice(ODD)
    if random.random() < 0.3:
        odd = change_value({"type": "x", "seed": 3, "a": [1, {"b": 2}]}, random)[1]
    value = repr(odd).replace("nan", "float('nan')").replace("inf", "float('inf')")
    for key in reversed(rest):
        value = f"dict({key}={value})"
    return f"{'.'.join((first, *rest))} = {value[:40]}", f"{text}\n{first} = {value}\n".encode()


def _read(file: Path, given: list[str], way: int) -> Any:
    if way == 0:
        run_show(str(file))
        return None
    if way == 1:
        run_diff(str(file), str(LEAF))
        return None
    parser = train_parser(None)
    if way == 2 and not any(word.startswith("--max") or word == "--resume" for word in given):
        parser = run_parser(None)
        given = [word for word in given if word not in ("--amp", "--load-from", "--auto-scale-lr")]
    return build_config(**parse_run(parser, [str(file), *given]))


def _same(found: Any) -> str | None:
    """Compare the model with what mmengine alone reads."""
    if found is None:
        return None
    plain = Config.fromfile(found.filename)
    if plain.get("model") is None:
        return None
    # As text: NaN equals nothing.
    return None if repr(plain.model) == repr(found.model) else "another model than mmengine reads"
