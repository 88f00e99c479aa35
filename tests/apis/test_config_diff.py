"""``tools/print_config.py diff`` and the forms of ``show`` that the page does not use."""

import json
import runpy
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
IAUNET = "iaunet/iaunet_small_1xb4-1200i_dsb2018-instance-128x128"
FAST = "iaunet/iaunet_small-fast_1xb4-1200i_dsb2018-instance-128x128"


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    script = str(REPO / "tools/print_config.py")
    monkeypatch.setattr(sys, "argv", [script, *words])
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def test_equal_configs_print_nothing(monkeypatch, capsys) -> None:
    assert run(monkeypatch, "diff", IAUNET, IAUNET) == 0
    assert capsys.readouterr().out == ""


def test_what_differs_is_added_removed_or_changed(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "a.py").write_text("a = 1\nb = dict(c=(1, 2), d=[dict(e=5)])\nx = None\n")
    (tmp_path / "b.py").write_text("a = 2\n\nb = dict(c=[1, 2], d=[dict(e=6)])\ny = dict()\n")
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "diff", "a.py", "b.py", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert [(d["kind"], d["key"], d["old"], d["new"]) for d in found] == [
        ("changed", "a", 1, 2),
        ("changed", "b.d.0.e", 5, 6),
        ("added", "y", None, {}),
        ("removed", "x", None, None),
    ]
    assert [(d["old_where"], d["new_where"]) for d in found] == [
        ("a.py:1", "b.py:1"),
        ("a.py:2", "b.py:3"),
        ("", "b.py:4"),
        ("a.py:3", ""),
    ]


def test_a_run_folder_is_read_by_its_saved_config(tmp_path, monkeypatch, capsys) -> None:
    from attnseg.apis.experiment import build_config

    cfg = build_config(IAUNET, work_dir=tmp_path / "run", max_iters=7)
    (tmp_path / "run").mkdir()
    assert run(monkeypatch, "diff", IAUNET, str(tmp_path / "run")) == 2
    assert "no config here" in capsys.readouterr().err
    cfg.dump(tmp_path / "run" / "saved.py")
    assert run(monkeypatch, "diff", IAUNET, str(tmp_path / "run")) == 1
    text = capsys.readouterr().out
    assert "changed train_cfg.max_iters\n  - 1200  _base_/schedules/" in text
    assert f"  + 7  {tmp_path.resolve()}/run/saved.py:" in text
    assert "added work_dir" in text and "model." not in text


def test_plain_text_is_a_config(tmp_path, monkeypatch, capsys) -> None:
    assert run(monkeypatch, IAUNET, "--plain") == 0
    (tmp_path / "plain.py").write_text(capsys.readouterr().out)
    assert run(monkeypatch, "diff", IAUNET, str(tmp_path / "plain.py")) == 0
    assert run(monkeypatch, IAUNET, "--plain", "--key", "model.head.loss") == 0
    assert "loss = dict(" in capsys.readouterr().out


def test_json_has_values_steps_and_what_was_removed(monkeypatch, capsys) -> None:
    words = ("--json", "--key", "model.backbone", "--cfg-options", "model.backbone.width=3")
    assert run(monkeypatch, "show", IAUNET, *words) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["keys"]["model.backbone.stem_stride"]["steps"][-1]["file"] == (
        "iaunet/base_small.py"
    )
    assert [s["removed"] for s in report["removed"]["model.backbone.depth"]] == [None, "_delete_"]
    assert report["warnings"][0].endswith("Did you mean widths?")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((IAUNET, "--key", "model.bakbone"), "no 'bakbone' in model. Did you mean backbone?"),
        ((IAUNET, "--key", "train_pipeline.9"), "It has 0, 1, 2, 3, 4."),
        ((IAUNET, "--key", "log_level.x"), "It has nothing."),
        ((IAUNET, "--cfg-options", "lr=1"), "Set optim_wrapper.optimizer.lr."),
        ((IAUNET + "x",), "Did you mean"),
    ],
)
def test_wrong_words_end_in_one_line(words, message, monkeypatch, capsys) -> None:
    assert run(monkeypatch, *words) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and error.startswith("error: ")
