"""Two runs side by side."""

import json
from pathlib import Path
from typing import Any

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
    assert "Unpaired: each run's own interval over images (95 %)." in text
    assert "MEASURED DIFFERENTLY (A and B): split val and test." in text
    with pytest.raises(UsageError, match="no run has the metric 'PQ'"):
        run_compare(str(a), str(b), metrics=["PQ"])


def test_unpaired_intervals_keep_their_own_levels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = measured_run(tmp_path, "a", 0.7)
    wide = measured_run(tmp_path, "wide", 0.6, intervals={"level": 0.99})
    none = plain_run(tmp_path, "none", 0.5, intervals=None)
    for other, words in ((wide, "(A 95 %, B 99 %)"), (none, "(A 95 %, B none)")):
        run_compare(str(a), str(other), out=str(tmp_path / "out.json"))
        assert f"each run's own interval over images {words}." in capsys.readouterr().out
    content = json.loads((tmp_path / "out.json").read_text())
    assert (content["a"]["level"], content["b"]["level"], content["level"]) == (0.95, None, None)


@pytest.mark.parametrize("name", ["level", "seed", "resamples"])
def test_numbers_of_the_paired_bootstrap_are_refused_without_it(tmp_path: Path, name: str) -> None:
    a, b = (str(measured_run(tmp_path, run, 0.7)) for run in "ab")
    value = {"level": 0.9, "seed": 0, "resamples": 100}[name]
    with pytest.raises(UsageError, match=f"--paired is needed for {name}:"):
        run_compare(a, b, **{name: value})
    run_compare(a, b, paired=True, **{name: value})
    with pytest.raises(UsageError, match=name):
        run_compare(a, b, paired=True, **{name: -3})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"split": "test"}}, "split val and test"),
        ({"data": {"hash": "b" * 64}}, "annotation hash aaaaaaaaaaaa and bbbbbbbbbbbb"),
        ({"data": {"hash": None}}, "annotation hash aaaaaaaaaaaa and unknown"),
        ({"data": {"images": 39}}, "images 40 and 39"),
        (
            {"evaluators": [record("x", {})["evaluators"][0] | {"annotations": "c" * 64}]},
            "SemanticMetric's annotations unknown and cccccccccccc",
        ),
    ],
)
def test_other_truth_is_not_paired(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    a, b = measured_run(tmp_path, "a", 0.7), measured_run(tmp_path, "b", 0.7, **changes)
    with pytest.raises(UsageError, match=rf"measured differently \(A and B\): .*{words}"):
        run_compare(str(a), str(b), paired=True)


def test_evaluators_that_only_one_run_has_do_not_stop_the_pairing(tmp_path: Path) -> None:
    other = {"type": "BoundaryMetric", "prefix": "boundary", "settings": {}, "annotations": None}
    evaluators = [*record("x", {})["evaluators"], other]
    a, b = measured_run(tmp_path, "a", 0.7), measured_run(tmp_path, "b", 0.7, evaluators=evaluators)
    assert compare(find_run(a), find_run(b), paired=True).images == 40


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


def test_values_of_classes_are_compared_where_there_are_no_others(tmp_path: Path) -> None:
    metrics = {"semantic/IoU/road": {"value": 0.5}, "semantic/IoU/sky": {"value": 0.6}}
    a, b = (find_run(write_run(tmp_path / name, record(name, metrics))) for name in "ab")
    assert [line.column.key for line in compare(a, b).lines] == list(metrics)


def test_nothing_in_common_is_an_error(tmp_path: Path) -> None:
    a = find_run(plain_run(tmp_path, "a", 0.5))
    b = find_run(write_run(tmp_path / "b", record("b", {"coco/AP": {"value": 0.1}})))
    with pytest.raises(ValueError, match="no metric in common: A has semantic/mIoU; B has coco/AP"):
        compare(a, b)
