"""The papers' tables: each sweep file expands, its configs build, its columns are measured."""

import inspect
import math
from pathlib import Path

import pytest
from mmengine.config import Config

from attnseg.apis.experiment import build_config
from attnseg.apis.sweep.plan import plan_runs
from attnseg.apis.sweep.sweep_file import Sweep, read_sweep
from attnseg.engine.evaluators import metric_configs
from attnseg.evaluation.instance_metric import PRESETS
from attnseg.evaluation.scores.refinement import NAMES
from attnseg.registry import METRICS

FOLDER = Path(__file__).resolve().parents[2] / "configs/sweeps"
FILES = sorted(FOLDER.glob("*.py"))
AREAS = {
    preset: [f"AP{name}" for name in value["area_ranges"]] for preset, value in PRESETS.items()
}
MEASURED = {
    "SemanticMetric": ["mIoU"],
    "PanopticMetric": ["PQ"],
    "RefinementMetric": NAMES,
    "CocoInstanceMetric": ["AP", "AP50", "AP75"],
}
# Tables and figures by paper; those of several data sets have several files.
TABLES = {
    "maskattn-unet": [*(f"table{i}" for i in range(1, 10)), "figure3", "figure4"],
    "cspam-solov2": ["table1", "table2", "table3"],
    "mask-refine": ["tables1-2"],
    "iaunet": ["table1", "table2"],
}


def config_of(arguments: tuple[str, ...]) -> Config:
    """The config of a run, from the words that tools/train.py gets."""
    from attnseg.apis.command import run_parser

    parser = run_parser("")
    for flag in ("--max-iters", "--max-epochs"):
        parser.add_argument(flag, type=int)
    parser.add_argument("--resume", nargs="?", const="auto")
    given = vars(parser.parse_args(list(arguments)))
    given.pop("local_rank")
    return build_config(**given)


def measured(cfg: Config) -> set[str]:
    """The metrics over all classes, and by class, that a config's evaluators compute."""
    found = set()
    for metric in metric_configs(cfg.val_evaluator):
        kind = METRICS.get(metric["type"])
        prefix = metric.get("prefix", inspect.signature(kind).parameters["prefix"].default)
        names = list(MEASURED.get(kind.__name__, ()))
        if kind.__name__ == "CocoInstanceMetric":
            names += AREAS[metric.get("preset", "coco")]
        found |= {f"{prefix}/{name}" for name in names}
        found |= {f"{prefix}/AP/*"} if metric.get("classwise") else set()
    hook = cfg.default_hooks.get("dependency")
    if hook:
        found |= {f"dependency/{e}_{m}" for e in ("hurst", "dfa") for m in hook.modules}
    if "size" in cfg.default_hooks:
        found.add("size/training_mib")
    return found


@pytest.fixture(params=FILES, ids=lambda path: path.stem, scope="module")
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.mark.parametrize("small", [False, True], ids=["real", "small"])
def test_the_runs_have_configs_that_measure_the_columns(
    path: Path, small: bool, tmp_path: Path
) -> None:
    sweep = read_sweep(path, small)
    runs = plan_runs(sweep, tmp_path)
    cells = len(sweep.cells())
    assert len(runs) == cells * len(sweep.seeds)
    assert len({run.folder for run in runs}) == len(runs)
    # To plan a run is to build its config; what it measures depends on data and options alone.
    for run in (runs[0], runs[-1]):
        cfg = config_of(run.arguments)
        known = measured(cfg)
        for column in sweep.columns:
            by_class = f"{column.rpartition('/')[0]}/*"
            assert column in known or by_class in known


def test_small_forms_are_short_and_have_two_seeds(path: Path) -> None:
    sweep: Sweep = read_sweep(path, small=True)
    assert sweep.seeds == (0, 1)
    assert sweep.length.get("max_iters", 1000) <= 100


def test_the_papers_figures_are_numbers_with_a_source(path: Path) -> None:
    paper = read_sweep(path).paper
    assert paper.source
    assert all(row.where or row.label for row in paper.rows)
    figures = [value for row in paper.rows for value in row.values.values()]
    assert all(math.isfinite(value) and value >= 0 for value in figures)
    assert paper.unit != "%" or all(value <= 100 for value in figures)
    # One figure for one cell: a row printed twice would stand twice beside ours.
    cells = [tuple(sorted(row.where.items())) or row.label for row in paper.rows]
    assert len(set(cells)) == len(cells)


def test_each_table_has_a_file_and_the_readme_has_it() -> None:
    text = (FOLDER / "README.md").read_text()
    stems = [path.stem for path in FILES]
    for paper, tables in TABLES.items():
        for table in tables:
            assert any(stem.startswith(f"{paper}_{table}_") for stem in stems), (paper, table)
    assert [stem for stem in stems if stem not in text] == []
