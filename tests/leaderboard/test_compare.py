"""Two runs side by side."""

import json
from pathlib import Path

import pytest

from attnseg.apis.command import UsageError
from attnseg.apis.leaderboard import run_compare
from attnseg.evaluation.bootstrap import paired_differences
from attnseg.leaderboard.compare import compare, find_run
from tests.leaderboard.factory import measured_run, plain_run, record, table, write_run


def test_paired_differences_are_those_of_the_statistics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (measured_run(tmp_path, name, q) for name, q in (("a", 0.7), ("b", 0.68)))
    out = tmp_path / "out.json"
    run_compare(str(a), str(b.parents[1]), paired=True, resamples=300, out=str(out))
    want = paired_differences(table(0.7, seed=700), table(0.68, seed=680), resamples=300)["mIoU"]
    content = json.loads(out.read_text())
    assert content["images"] == 40
    assert content["metrics"]["semantic/mIoU"]["difference"] == want._asdict()
    text = capsys.readouterr().out
    line = next(line.split() for line in text.splitlines() if line.startswith("semantic/mIoU"))
    assert line[1:4] == [f"{100 * x:.2f}" for x in (want.a, want.b, want.delta)]
    assert line[-1] == f"{want.probability:.3f}"
    assert "Paired bootstrap over 40 images, 95 % intervals." in text
    assert "IoU/road" not in text


def test_unpaired_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = measured_run(tmp_path, "a", 0.7)
    b = plain_run(tmp_path, "b", 0.5, data={"split": "test"})
    run_compare(str(a), str(b))
    text = capsys.readouterr().out
    assert "Unpaired: each run's own 95 % interval" in text
    assert "MEASURED DIFFERENTLY (A and B): split val and test." in text
    with pytest.raises(UsageError, match="no run has the metric 'PQ'"):
        run_compare(str(a), str(b), metrics=["PQ"])


def test_other_images_classes_and_settings_are_refused(tmp_path: Path) -> None:
    a = find_run(measured_run(tmp_path, "a", 0.7))
    content = record("x", {"semantic/mIoU": {"value": 0.5}})
    statistics = {
        "different images: 10 only in A": table(0.7, images=30),
        "differ in their classes": table(0.7, classes=("sky", "road", "car")),
    }
    for index, (words, other) in enumerate(statistics.items()):
        b = find_run(write_run(tmp_path / f"b{index}", content, other))
        with pytest.raises(ValueError, match=words):
            compare(a, b, paired=True)
    b = find_run(plain_run(tmp_path, "bare", 0.5))
    with pytest.raises(ValueError, match="names no per-image statistics"):
        compare(a, b, paired=True)


def test_damaged_and_missing_statistics_are_named(tmp_path: Path) -> None:
    a, b = (measured_run(tmp_path, name, 0.7) for name in ("a", "b"))
    file = b.with_name("per_image.npz")
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(UsageError, match=f"{file}' is damaged"):
        run_compare(str(a), str(b), paired=True)
    file.unlink()
    with pytest.raises(UsageError, match=f"{file}' are missing"):
        run_compare(str(a), str(b), paired=True)


def test_a_folder_of_several_runs_is_refused(tmp_path: Path) -> None:
    plain_run(tmp_path, "a", 0.5)
    plain_run(tmp_path, "b", 0.5)
    with pytest.raises(ValueError, match=r"several runs \(a, b\)"):
        find_run(tmp_path)
    with pytest.raises(FileNotFoundError, match="no record with metrics"):
        (tmp_path / "none").mkdir()
        find_run(tmp_path / "none")


def test_nothing_in_common_is_an_error(tmp_path: Path) -> None:
    a = find_run(plain_run(tmp_path, "a", 0.5))
    b = find_run(write_run(tmp_path / "b", record("b", {"coco/AP": {"value": 0.1}})))
    with pytest.raises(ValueError, match="no metric in common: A has semantic/mIoU; B has coco/AP"):
        compare(a, b)
