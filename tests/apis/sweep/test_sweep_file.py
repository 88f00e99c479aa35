"""Sweep files: what is read, and what is refused with which words."""

import re
from pathlib import Path
from typing import Any

import pytest

from attnseg.apis.command import UsageError
from attnseg.apis.sweep.sweep_file import find_sweep, read_sweep
from tests.apis.sweep.factory import LR, MASKATTN, UNET, write_sweep

PAPER = {
    "source": "Table 4",
    "unit": "%",
    "rows": [{"where": {"variant": "U-Net", LR: 0.001}, "values": {"semantic/mIoU": 40.5}}],
    "unavailable": {"YOLOv9": "external program"},
}


def test_the_cells_are_the_product_in_the_order_of_the_axes(tmp_path: Path) -> None:
    file = write_sweep(tmp_path, options={"train_dataloader.batch_size": 2, LR: 1.0})
    sweep = read_sweep(file)
    assert (sweep.name, sweep.title, sweep.length) == ("table", "Attention", {"max_iters": 3})
    assert [cell.labels for cell in sweep.cells()] == [
        ("U-Net", "0.002"),
        ("U-Net", "0.001"),
        ("MaskAttn", "0.002"),
        ("MaskAttn", "0.001"),
    ]
    first, *_, last = sweep.cells()
    assert (first.config, last.config) == (UNET, MASKATTN)
    # An axis wins over the sweep's own options.
    assert first.options == {"train_dataloader.batch_size": 2, LR: 0.002}


def test_the_small_form_replaces_names_whole(tmp_path: Path) -> None:
    small = {"axes": {LR: [0.1]}, "max_epochs": 2, "seeds": [5]}
    sweep = read_sweep(write_sweep(tmp_path, paper=PAPER, small=small), small=True)
    assert (sweep.name, sweep.seeds, sweep.length) == ("table-small", (5,), {"max_epochs": 2})
    assert [axis.name for axis in sweep.axes] == [LR]
    assert sweep.columns == ("semantic/mIoU",)
    # The paper speaks of the full form.
    assert sweep.paper.rows[0].where == {"variant": "U-Net", LR: "0.001"}


def test_a_sweep_inherits_and_has_helpers_of_its_own(tmp_path: Path) -> None:
    write_sweep(tmp_path, "base")
    child = tmp_path / "child.py"
    child.write_text("_base_ = './base.py'\n_more = 3\nseeds = [_more]\n")
    assert read_sweep(child).seeds == (3,)
    assert len(read_sweep(child).cells()) == 4


def test_a_sweep_without_axes_is_one_cell(tmp_path: Path) -> None:
    (cell,) = read_sweep(write_sweep(tmp_path, axes=None)).cells()
    assert (cell.labels, cell.config) == ((), MASKATTN)


def _row(**row: Any) -> dict[str, Any]:
    return {"paper": PAPER | {"rows": [row]}}


ONE = {"variant": {"U-Net": UNET, "MaskAttn": {}}}


def _figures(numbers: list, label: str = "U-Net", **changes: Any) -> dict[str, Any]:
    return {"paper": {"source": "Table 4", "figures": {label: numbers}}, **changes}


def test_figures_of_one_axis_are_rows_in_the_order_of_the_columns(tmp_path: Path) -> None:
    columns = ["semantic/mIoU", "semantic/aAcc"]
    paper = {
        "source": "Table 4",
        "figures": {"U-Net": (50.0, 90.0), "YOLOv9": (51.0, 91.0)},
        "rows": [{"where": {"variant": "MaskAttn"}, "values": {"semantic/mIoU": 52.0}}],
        "unavailable": {"YOLOv9": "external program"},
    }
    sweep = read_sweep(write_sweep(tmp_path, axes=ONE, columns=columns, paper=paper))
    ours, other, row = sweep.paper.rows
    assert (ours.where, ours.label) == ({"variant": "U-Net"}, None)
    assert dict(ours.values) == {"semantic/mIoU": 50.0, "semantic/aAcc": 90.0}
    assert (other.where, other.label) == ({}, "YOLOv9") and row.where == {"variant": "MaskAttn"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": [0]}, "top level: 'seed' is not known. Did you mean 'seeds'?"),
        ({"axes": [1]}, "axes: expected a dict"),
        ({"axes": {LR: []}}, f"axes['{LR}']: the axis is empty"),
        ({"axes": {"variant": {}}}, "axes['variant']: the axis is empty"),
        ({"axes": {LR: 0.1}}, "expected a list of values of this config key, or a dict"),
        ({"axes": {LR: {"low": 0.1}}}, "a dict makes a named axis, whose name has no dots"),
        ({"axes": {LR: [0.1, 0.2, 0.1]}}, f"axes['{LR}']: '0.1' is there twice"),
        ({"axes": {"variant": {"A": 3}}}, "axes['variant']['A']: expected the name of a leaf"),
        ({"axes": {"variant": {"A": {"option": {}}}}}, "Did you mean 'options'?"),
        ({"axes": {"variant": {1: UNET}}}, "axes['variant'][1]: the label is a text"),
        ({"seeds": []}, "seeds: expected a list of at least one"),
        ({"seeds": [0, True]}, "seeds: expected whole numbers"),
        ({"seeds": [0, 1, 0]}, "seeds: '0' is there twice"),
        ({"columns": "semantic/mIoU"}, "columns: expected a list of at least one"),
        ({"max_epochs": 2}, "max_iters and max_epochs are both given"),
        ({"max_iters": 0}, "max_iters: expected a whole number from 1 on"),
        ({"base": 3}, "base: expected a text"),
        ({"options": {"a.b": 1, 2: 3}}, "options: 2 is no dotted config key"),
        ({"paper": {"rows": []}}, "paper.source: name the table"),
        (_figures([]), "paper.figures: is for a sweep of one axis"),
        (_figures([], axes=ONE), "paper.figures['U-Net']: expected 1 numbers"),
        (_figures(["x"], axes=ONE), "paper.figures['U-Net'].values['semantic/mIoU']: expected"),
        (_figures([1], "U-Ne", axes=ONE), "'U-Ne' is not known. Did you mean 'U-Net'?"),
        (_row(where={"varient": "U-Net"}), "where: 'varient' is not known. Did you mean"),
        (_row(where={"variant": "UNet"}), "'UNet' is not known. Did you mean 'U-Net'?"),
        (_row(where={LR: 0.003}), "'0.003' is not known"),
        (_row(where={}), "give where={axis: label}, or a label"),
        (_row(label="X", values={"semantic/mIou": 1}), "Did you mean 'semantic/mIoU'?"),
        (_row(label="X", values={"semantic/mIoU": "40"}), "expected a number, got '40'"),
        ({"small": {"paper": {}}}, "small: 'paper' is not known"),
        ({"small": None}, "has no small = dict(...)"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    file = write_sweep(tmp_path, **changes)
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        read_sweep(file, small="small" in changes)
    assert str(file) in str(caught.value)


def test_a_cell_needs_exactly_one_config(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"variant=MaskAttn, .* has no config: set base"):
        read_sweep(write_sweep(tmp_path, base=None)).cells()
    both = {"a": {"x": UNET}, "b": {"y": UNET}}
    with pytest.raises(UsageError, match="a=x, b=y names 2 configs"):
        read_sweep(write_sweep(tmp_path, axes=both)).cells()


def test_a_broken_file_and_an_unknown_name_end_in_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("axes = {")
    with pytest.raises(UsageError):
        read_sweep(broken)
    with pytest.raises(UsageError, match="sweep 'no-such-sweep-at-all' not found"):
        find_sweep("no-such-sweep-at-all")
