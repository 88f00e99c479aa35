"""The commands of docs/cells.md, as a user types them."""

import re
import runpy
import shlex
import sys

import pytest
from mmengine.config import Config, DictAction

from . import published_cells
from .published_cells import REPO, load

PAGE = (REPO / "docs/cells.md").read_text()
COMMANDS = re.findall(r"^python (tools/dataset_converters/\S+) (data/\w+)(.*)$", PAGE, re.M)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command))
def test_command_makes_what_the_config_reads(command, tmp_path, monkeypatch, capsys):
    script, root, options = command
    monkeypatch.chdir(tmp_path)
    name = root.removeprefix("data/")
    getattr(published_cells, f"write_{name}")(tmp_path / root)
    if "crop_dense" in script:
        first = f"tools/dataset_converters/{name}.py"
        run(REPO / first, root, "", monkeypatch)
        root = options.split()[0]
    run(REPO / script, *command[1:], monkeypatch)
    assert f"wrote '{root}/annotations/instances_train.json'" in capsys.readouterr().out
    assert len(load(name, "train", root)[0]["data_samples"].gt_instances) <= 3


def run(script, root, options, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(script), root, *shlex.split(options)])
    runpy.run_path(str(script), run_name="__main__")


def test_every_converter_of_cells_is_on_the_page():
    assert {script.rpartition("/")[2] for script, _, _ in COMMANDS} == {
        "livecell.py",
        "evican.py",
        "neurips_cellseg.py",
        "revvity.py",
        "crop_dense.py",
    }


def test_difficulty_is_chosen_on_the_command_line():
    options = re.search(r"--cfg-options \\\n((?:    .*\n)+)", PAGE)[1].replace("\\\n", " ").split()
    parsed = dict(option.split("=") for option in options)
    cfg = Config.fromfile(REPO / "configs/_base_/datasets/evican_cells.py")
    cfg.merge_from_dict({key: DictAction._parse_iterable(text) for key, text in parsed.items()})
    assert cfg.test_dataloader.dataset.ann_file.endswith("eval_medium.json")
    for evaluator in cfg.test_evaluator:
        assert evaluator.ann_file == cfg.data_root + cfg.test_dataloader.dataset.ann_file
    assert cfg.val_dataloader.dataset.ann_file.endswith("instances_val.json")
