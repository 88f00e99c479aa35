"""Damaged, foreign and missing files are named; the others still count."""

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from attnseg.apis.command import UsageError
from attnseg.apis.leaderboard import run_collect, run_page
from attnseg.leaderboard.records import load_records, read_record
from tests.leaderboard.factory import measured_run, plain_run, record, write_run

REPO = Path(__file__).resolve().parents[2]


def _spoil(root: Path, name: str, content: str) -> None:
    (root / name).mkdir()
    (root / name / "record.json").write_text(content)


def test_damaged_records_are_named_and_the_others_collected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = plain_run(tmp_path, "good", 0.5).read_text()
    _spoil(tmp_path, "truncated", good[: len(good) // 2])
    _spoil(tmp_path, "list", "[]")
    _spoil(tmp_path, "empty", "")
    _spoil(tmp_path, "newer", json.dumps(json.loads(good) | {"schema": 2}))
    _spoil(tmp_path, "foreign", '{"loss": 0.1}')
    (tmp_path / "binary").mkdir()
    (tmp_path / "binary" / "record.json").write_bytes(b"\xff\x00\xfe")
    run_collect([str(tmp_path)])
    out, err = capsys.readouterr()
    assert "| good |" in out
    for name in ("truncated", "list", "empty", "newer", "foreign", "binary"):
        assert f"{tmp_path / name}/record.json" in err
    assert "schema 2, this version reads 1" in err
    with pytest.raises(UsageError, match="6 files were skipped"):
        run_collect([str(tmp_path)], strict=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": None}, "'id' is None"),
        ({"id": "../../x"}, "expected a text that can name a file"),
        ({"mode": "val"}, "'mode' is 'val'"),
        ({"seed": "0"}, "'seed' is '0'"),
        ({"cost": [1]}, r"'cost' is \[1\]"),
        ({"metrics": None}, "'metrics' is None"),
        ({"metrics": {"PQ": 0.5}}, "metric 'PQ' is 0.5"),
        ({"metrics": {"PQ": {"value": "high"}}}, "metric 'PQ'"),
        ({"evaluators": "PQ"}, "'evaluators' is 'PQ'"),
        ({"evaluators": [{"prefix": 3}]}, "type and prefix are texts"),
        ({"intervals": {"level": 95}}, "'intervals.level' is 95"),
        ({"per_image": 4}, "'per_image' is 4"),
        ({"seed": True}, "'seed' is True"),
        ({"data": {"type": ["x"]}}, r"'data.type' is \['x'\], expected a text or null"),
        ({"data": {"hash": 1}}, "'data.hash' is 1"),
        ({"checkpoint": {"file": 3}}, "'checkpoint.file' is 3"),
        ({"cost": {"device": ["cpu"]}}, r"'cost.device' is \['cpu'\]"),
        ({"evaluators": [{"prefix": []}]}, "type and prefix are texts"),
        ({"evaluators": [{"settings": []}]}, "settings an object"),
        ({"metrics": {"PQ": {"value": 10**400}}}, "an integer of 401 digits"),
        ({"cost": {"params": -(10**400)}}, "an integer of 402 digits"),
    ],
)
def test_wrong_entries_are_named(tmp_path: Path, changes: dict, words: str) -> None:
    file = tmp_path / "record.json"
    content = record("a", {})
    file.write_text(json.dumps({**content, **changes}))
    with pytest.raises(ValueError, match=words) as error:
        read_record(file)
    assert str(file) in str(error.value)


def test_links_are_followed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain_run(tmp_path / "scratch", "a", 0.5)
    runs = tmp_path / "runs"
    plain_run(runs, "b", 0.4)
    (runs / "a").symlink_to(tmp_path / "scratch")
    (runs / "circle").symlink_to(runs)
    (tmp_path / "scratch" / "back").symlink_to(runs)
    records, problems = load_records([runs, runs / "a"])
    assert [found.name for found in records] == ["a", "b"] and not problems
    (runs / "gone").mkdir()
    (runs / "gone" / "record.json").symlink_to(tmp_path / "nowhere.json")
    (runs / "gone" / "record-2.json").symlink_to(runs / "gone" / "record-2.json")
    run_collect([str(runs)])
    err = capsys.readouterr().err
    assert f"'{tmp_path}/nowhere.json' cannot be read" in err
    assert f"'{runs}/gone/record-2.json' cannot be read" in err


def test_unreadable_folders_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain_run(tmp_path, "a", 0.5)
    plain_run(tmp_path, "secret", 0.5)
    scandir = os.scandir

    def guarded(path: str) -> object:
        # Permissions would not keep a test out that runs as root.
        if Path(path).name == "secret_0":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    run_collect([str(tmp_path)])
    out, err = capsys.readouterr()
    assert "| a |" in out and "secret" not in out
    assert f"skipped: the folder '{tmp_path}/secret_0' cannot be read (Permission denied)." in err
    with pytest.raises(UsageError, match="1 files were skipped"):
        run_collect([str(tmp_path)], strict=True)


def test_missing_optional_entries_are_unknown(tmp_path: Path) -> None:
    file = tmp_path / "x" / "record.json"
    file.parent.mkdir()
    needed = {"schema": 1, "id": "i", "name": "n", "mode": "test"}
    file.write_text(json.dumps({**needed, "metrics": {"PQ": {"value": 0.5}}}))
    run_collect([str(file)], out=str(tmp_path / "out"))
    run_page([str(file)], out=str(tmp_path / "page.html"))
    text = (tmp_path / "out" / "leaderboard.md").read_text()
    assert "unknown data, unknown evaluator" in text and "50.00" in text


def test_nothing_to_collect_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no record with metrics"):
        run_collect([str(tmp_path)])
    write_run(tmp_path / "run", record("a", {}))
    with pytest.raises(UsageError, match="no record with metrics"):
        run_collect([str(tmp_path)])


def test_wrong_paths_propose_the_right_one(tmp_path: Path) -> None:
    plain_run(tmp_path / "work_dirs", "unet", 0.5)
    with pytest.raises(UsageError, match="does not exist; is '.*work_dirs' meant"):
        run_collect([str(tmp_path / "workdirs")])
    with pytest.raises(UsageError, match="nor does its parent"):
        run_collect([str(tmp_path / "no" / "where")])


def test_formats_are_checked(tmp_path: Path) -> None:
    plain_run(tmp_path, "a", 0.5)
    with pytest.raises(UsageError, match="unknown format html"):
        run_collect([str(tmp_path)], formats="html")
    with pytest.raises(UsageError, match="--out"):
        run_collect([str(tmp_path)], formats="csv,md")


def test_copies_count_once_and_equal_ids_are_kept_apart(tmp_path: Path) -> None:
    file = measured_run(tmp_path, "a", 0.5)
    content = json.loads(file.read_text())
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "record.json").write_text(json.dumps(content | {"per_image": None}))
    records, _ = load_records([tmp_path])
    assert [r.path for r in records] == [file.resolve()]
    (tmp_path / "copy" / "record.json").write_text(json.dumps(content | {"seed": 5}))
    assert len(load_records([tmp_path, file])[0]) == 2


def test_a_full_disk_leaves_the_old_files(tmp_path: Path) -> None:
    plain_run(tmp_path / "runs", "a", 0.5)
    out = tmp_path / "out"
    run_collect([str(tmp_path / "runs")], out=str(out))
    run_page([str(tmp_path / "runs")], out=str(out / "page.html"))
    old = {path: path.read_bytes() for path in out.iterdir()}
    plain_run(tmp_path / "runs", "b", 0.6)
    tool = [sys.executable, "tools/leaderboard.py"]
    commands = (
        ["collect", str(tmp_path / "runs"), "--out", str(out)],
        ["page", str(tmp_path / "runs"), "--out", str(out / "page.html")],
    )
    for command in commands:
        # A limit on the size of files fails the write itself, as a full disk does.
        result = subprocess.run(
            tool + command,
            cwd=REPO,
            capture_output=True,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)),
        )
        assert result.returncode == 2, result.stderr
        assert "File too large" in result.stderr and "Traceback" not in result.stderr
        assert {path: path.read_bytes() for path in out.iterdir()} == old
