"""Plans: which runs there are, their folders and contents."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attnseg.apis.command import UsageError
from attnseg.apis.experiment import build_config
from attnseg.apis.sweep.options import as_arguments, moved_data
from attnseg.apis.sweep.plan import Run, plan_runs
from attnseg.apis.sweep.sweep_file import read_sweep
from tests.apis.sweep.factory import LR, MASKATTN, UNET, write_sweep

BATCH = "train_dataloader.batch_size"


def _plan(folder: Path, data_dir: str | None = None, **changes: Any) -> list[Run]:
    return plan_runs(read_sweep(write_sweep(folder, **changes)), folder / "out", data_dir)


def test_runs_are_cells_with_seeds_in_folders_that_can_be_read(tmp_path: Path) -> None:
    runs = _plan(tmp_path)
    assert [(*run.labels, run.seed) for run in runs[:3]] == [
        ("U-Net", "0.002", 0),
        ("U-Net", "0.002", 1),
        ("U-Net", "0.001", 0),
    ]
    assert runs[0].folder.parent == tmp_path / "out" / "table"
    assert re.fullmatch(r"U-Net_lr=0\.002-s0-[0-9a-f]{8}", runs[0].name)
    assert len({run.folder for run in runs}) == 8
    assert (runs[0].unit, runs[0].steps) == ("max_iters", 3)
    words = runs[0].arguments
    assert words[0].endswith(f"{UNET}.py") and words[-1] == "--resume"
    assert words[words.index("--cfg-options") + 1] == f"{LR}=0.002"


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rates=st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=2, unique=True),
    batches=st.lists(st.integers(1, 64), min_size=1, max_size=2, unique=True),
    seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=2, unique=True),
)
def test_any_product_keeps_its_order_and_its_contents(
    tmp_path: Path, rates: list[float], batches: list[int], seeds: list[int]
) -> None:
    axes = {LR: rates, BATCH: batches}
    runs = _plan(tmp_path, axes=axes, seeds=seeds)
    product = [(repr(r), repr(b), seed) for r, b, seed in itertools.product(rates, batches, seeds)]
    assert [(*run.labels, run.seed) for run in runs] == product
    # One content each, whatever the order of the file.
    contents = {(*run.labels, run.seed): run.content for run in runs}
    assert len(set(contents.values())) == len(product)
    again = _plan(
        tmp_path, axes={BATCH: batches[::-1], LR: rates[::-1]}, seeds=seeds[::-1], title="Other"
    )
    assert {(r, b, s): run.content for run in again for (b, r), s in [(run.labels, run.seed)]} == (
        contents
    )


def test_the_content_knows_what_the_config_hash_leaves_out(tmp_path: Path) -> None:
    def content(**changes: Any) -> str:
        return _plan(tmp_path, axes=changes.pop("axes", None), seeds=[0], **changes)[0].content

    plain = content()
    assert content(data_dir="/elsewhere") == plain
    assert content(options={"train_dataloader.num_workers": 0}) == plain
    others = {
        content(max_iters=4),
        content(options={"load_from": "weights.pth"}),
        content(axes={"images": {"some": {"data": "data/some"}}}),
        content(axes={"images": {"more": {"data": "data/more"}}}),
        content(options={"data_root": "data/other"}),
    }
    assert len(others | {plain}) == 6


def test_data_sets_that_differ_in_their_folder_alone_are_two_runs(tmp_path: Path) -> None:
    leaf = "iaunet/iaunet_r50_1xb8-16000i_{}-instance-512x512"
    leaves = {name: leaf.format(name) for name in ("neurips-cellseg", "revvity")}
    plans = [
        _plan(tmp_path, data_dir=data, axes={"data": leaves}, seeds=[0], max_iters=3)
        for data in (None, "/elsewhere")
    ]
    assert plans[0][0].config_hash == plans[0][1].config_hash
    assert plans[0][0].content != plans[0][1].content
    assert [run.content for run in plans[0]] == [run.content for run in plans[1]]
    key = "train_dataloader.dataset.data_root"
    runs = _plan(tmp_path, axes={key: ["data/a", "data/b"]}, seeds=[0])
    assert runs[0].content != runs[1].content


def test_a_relabelled_run_keeps_its_folder(tmp_path: Path) -> None:
    (old,) = _plan(tmp_path, axes={"variant": {"old name": UNET}}, seeds=[0])
    assert old.name.startswith("old-name-s0-")
    old.folder.mkdir(parents=True)
    (new,) = _plan(tmp_path, axes={"variant": {"new": UNET}}, seeds=[0])
    assert (new.labels, new.folder) == (("new",), old.folder)
    # A run of another content gets another folder under the same label.
    (other,) = _plan(tmp_path, axes={"variant": {"old name": UNET}}, seeds=[0], max_iters=9)
    assert other.folder != old.folder


def test_cells_of_one_experiment_share_its_run(tmp_path: Path) -> None:
    runs = _plan(tmp_path, axes={"name": {"a": UNET, "b": {"config": UNET}}}, seeds=[0])
    assert runs[0].folder == runs[1].folder
    assert runs[0].labels != runs[1].labels


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"axes": {"optim_wrapper.optimizer.lrr": [1]}},
            "Did you mean optim_wrapper.optimizer.lr?",
        ),
        ({"axes": {"modle.backbone": [1]}}, "'modle' is not in the config"),
        (
            {"options": {"model.backbone.mask_mod": "x"}},
            "table.py: MaskAttn, 0.002: model.backbone.mask_mod: ",
        ),
        ({"axes": {"variant": {"A": "unet_smal"}}}, "A: config 'unet_smal' not found"),
        ({"max_iters": None, "max_epochs": 3}, "counts in another unit: use --max-iters"),
        ({"options": {"lr": 0.1}}, "'lr' is"),
        # An argument of the base class, which the optimizer gives it by itself.
        ({"options": {"optim_wrapper.optimizer.defaults": 1}}, "has no such key"),
        (
            {"options": {"train_dataloader.dataset.pipeline.99.size": 1}},
            "give an index from 0 to",
        ),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    if "options" in changes:
        changes["axes"] = {"variant": {"MaskAttn": {}}, LR: [0.002]}
    with pytest.raises(UsageError, match=re.escape(message)):
        _plan(tmp_path, **changes)


def test_an_argument_of_the_class_needs_no_place_in_the_config(tmp_path: Path) -> None:
    runs = _plan(tmp_path, axes={"optim_wrapper.clip_grad": [{"max_norm": 1.0}]}, seeds=[0])
    assert "optim_wrapper.clip_grad.max_norm=1.0" in runs[0].arguments


@pytest.mark.parametrize("value", [1, 0.1, 1e-7, True, None, "text", [1, 2], (1, 2), [[1], []]])
def test_values_reach_the_training_as_they_are(value: Any) -> None:
    from attnseg.apis.command import run_parser

    words = ["config", "--cfg-options", *as_arguments({"a.b": value})]
    read = run_parser(None).parse_args(words).cfg_options
    assert read == {"a.b": value} and type(read["a.b"]) is type(value)


@pytest.mark.parametrize("value", ["1", "a b", "x,y", [{"type": "X"}], {}])
def test_values_that_a_command_line_cannot_give_are_refused(value: Any) -> None:
    with pytest.raises(UsageError, match=r"a\.b: the value .* write a leaf"):
        as_arguments({"a.b": value})


def test_data_moves_whole_or_path_by_path(tmp_path: Path) -> None:
    cfg = build_config(MASKATTN)
    assert moved_data(cfg, "/big/") == ("/big/camvid11", {})
    cfg.val_dataloader.dataset.data_root = "data/other"
    data, options = moved_data(cfg, "/big")
    assert data is None
    assert options["val_dataloader.dataset.data_root"] == "/big/other"
    assert options["train_dataloader.dataset.data_root"].rstrip("/") == "/big/camvid11"
