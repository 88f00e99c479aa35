"""Many processes add to one results folder; no record is lost or replaced."""

import json
import subprocess
import sys
from pathlib import Path

from attnseg.apis.leaderboard import run_append, run_collect
from attnseg.leaderboard.records import load_records
from attnseg.leaderboard.runs import latest_runs
from tests.leaderboard.factory import measured_run, plain_run

REPO = Path(__file__).resolve().parents[2]
WORKERS, EACH = 8, 25
# Half of the ids are the same in all processes, so that they race for names.
CODE = """
import sys
from attnseg.record_files import add_record
from tests.leaderboard.factory import record
folder, worker = sys.argv[1], int(sys.argv[2])
sys.stdin.readline()
for index in range({each}):
    name = "20261121_090000-test-%d" % index
    name += "" if index % 2 else "-%d" % worker
    metrics = {{"semantic/mIoU": {{"value": 0.5}}}}
    content = record("run", metrics, id=name, seed=worker * 1000 + index)
    add_record(folder, content, name.encode() + bytes([worker]), name, name)
"""


def test_eight_processes_lose_no_record(tmp_path: Path) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", CODE.format(each=EACH), str(tmp_path), str(worker)],
            cwd=REPO,
            stdin=subprocess.PIPE,
            text=True,
        )
        for worker in range(WORKERS)
    ]
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    assert [worker.wait(120) for worker in workers] == [0] * WORKERS
    records, problems = load_records([tmp_path])
    assert not problems
    want = {worker * 1000 + index for worker in range(WORKERS) for index in range(EACH)}
    assert {found.seed for found in records} == want
    assert len(records) == len(latest_runs(records)) == WORKERS * EACH
    for found in records:
        statistics = found.beside("per_image").read_bytes()
        assert statistics == found.id.encode() + bytes([found.seed // 1000])
    assert not list(tmp_path.glob(".*"))


def test_appended_runs_collect_as_the_originals_do(tmp_path: Path, capsys) -> None:
    measured_run(tmp_path / "runs", "a", 0.7, cost={"training_seconds": 3600.0})
    measured_run(tmp_path / "runs", "b", 0.5)
    plain_run(tmp_path / "runs", "a", 0.1, id="20261121_070000-train-a", mode="train")
    run_append([str(tmp_path / "runs")], str(tmp_path / "results"))
    capsys.readouterr()
    texts = []
    for folder in ("runs", "results"):
        run_collect([str(tmp_path / folder)])
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert "| 60.0 |" in texts[0]
    file = next((tmp_path / "results").glob("*-test-a-0.json"))
    assert json.loads(file.read_text())["per_image"] == file.with_suffix(".npz").name
