"""A user's config in a folder of their own, as the README writes it."""

import re
import textwrap
from pathlib import Path

import pytest

from attnseg.apis.experiment import build_config, find_config, run_test, run_train

README = Path(__file__).resolve().parents[2] / "README.md"
OPTIONS = {
    "train_dataloader.batch_size": 2,
    "train_dataloader.num_workers": 0,
    "train_dataloader.persistent_workers": False,
    "test_dataloader.num_workers": 0,
    "test_dataloader.persistent_workers": False,
    "val_dataloader.num_workers": 0,
    "val_dataloader.persistent_workers": False,
}


def readme_config() -> str:
    (block,) = re.findall(r"```python\n# mine\.py\n(.*?)```", README.read_text(), re.DOTALL)
    return block


def test_the_readme_config_trains_and_tests(tmp_path: Path, demo_set: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(readme_config())
    common = {"work_dir": tmp_path / "run", "data": demo_set, "cfg_options": OPTIONS}
    run_train(build_config(file, max_iters=2, **common))
    metrics = run_test(build_config(file, checkpoint=tmp_path / "run" / "iter_2.pth", **common))
    assert {"panoptic/PQ", "coco/AP", "semantic/mIoU"} <= set(metrics)


@pytest.mark.parametrize("task", ["instance", "semantic"])
def test_a_leaf_inherited_by_name_keeps_the_scope_of_its_task(
    tmp_path: Path, demo_set: Path, task: str
) -> None:
    file = tmp_path / "mine.py"
    leaf = f"maskattn_unet/maskattn-unet_small_1xb8-400i_dsb2018-{task}-128x128.py"
    things, key = ("head=dict(num_things=3)", "max_dets") if task == "instance" else (None, None)
    model = things or "decode_head=dict(num_classes=5)"
    file.write_text(
        textwrap.dedent(f"""
        _base_ = 'attnseg::{leaf}'
        model = dict({model})
        """)
    )
    cfg = build_config(
        file, work_dir=tmp_path / "run", data=demo_set, cfg_options=OPTIONS, max_iters=1
    )
    assert cfg.default_scope == {"instance": "mmdet", "semantic": "mmseg"}[task]
    assert "_scope_" not in cfg.model
    assert key is None or key in cfg.val_evaluator
    run_train(cfg)
    assert (tmp_path / "run" / "iter_1.pth").is_file()


def test_a_config_is_found_by_its_bare_name() -> None:
    name = "maskattn-unet_small_1xb8-400i_demo-panoptic-128x128"
    assert find_config(name).stem == find_config(f"{name}.py").stem == name
