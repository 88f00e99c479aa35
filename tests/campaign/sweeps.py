"""Sweep files, and the options of a Slurm job."""

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from attnseg.apis.slurm import script_text
from attnseg.apis.submit_training import submission_parser, training_job
from attnseg.apis.sweep.sweep_file import read_sweep
from tests.campaign.mutate import change_bytes, change_value
from tests.campaign.watch import Case

REPO = Path(__file__).resolve().parents[2]
LEAF = "maskattn-unet_small_1xb8-400i_demo-panoptic-128x128"
SWEEP = {
    "title": "Rates",
    "base": LEAF,
    "options": {"train_dataloader.num_workers": 0},
    "axes": {
        "optim_wrapper.optimizer.lr": [0.001, 0.002],
        "size": {"small": LEAF, "fast": {"options": {"model.backbone.preset": "small"}}},
    },
    "seeds": [0, 1],
    "columns": ["panoptic/PQ"],
    "max_iters": 10,
    "paper": {"rows": {"0.001, small": {"panoptic/PQ": 0.5}}},
    "small": {"seeds": [0], "max_iters": 2},
}
_JOB = (
    *("--partition", "--account", "--qos", "--nodes", "--gpus-per-node", "--tasks-per-node"),
    *("--cpus-per-task", "--mem", "--time", "--grace", "--max-restarts", "--sbatch", "--array"),
    *("--name", "--work-dir"),
)
_VALUES = (
    *("0", "-1", "9" * 40, "1.5", "", " ", "x y", "a\nb", "$(touch executed)", "`touch executed`"),
    *("; touch executed", "'", '"', "#SBATCH --x", "\\", "é", "\x00", "../../x", "--wrap=touch x"),
    *("0-4%2", "0-", "1:2:3:4", "24:00:00", "64G", "\udcff"),
)


def cases(random: Random, folder: Path, demo: Path) -> Iterator[Case]:
    """Files for ``sweep.py``, and command lines for ``submit.py``."""
    for number in count():
        place = folder / str(number)
        place.mkdir()
        file = place / "mutated.py"
        small = random.random() < 0.3
        if number == 0 or random.random() < 0.6:
            what, data = "whole", _text(_without_paper(SWEEP))
            if number:
                what, value = change_value(SWEEP, random)
                data = _text(value)
                if random.random() < 0.2 or not data:
                    what, data = change_bytes(_text(SWEEP), random)
            file.write_bytes(data)
            yield Case(
                f"sweeps/{number} {what}",
                lambda file=file, small=small: read_sweep(file, small).cells(),
                ("mutated", "sweep"),
                None,
                place,
                what == "whole",
            )
        else:
            words = [LEAF, "--dry-run", "--work-dir", str(place / "run")]
            words += [f"{random.choice(_JOB)}={random.choice(_VALUES)}" for _ in range(2)]
            yield Case(
                f"sweeps/{number} submit {words[-2:]!r}",
                lambda words=words: _script(words),
                ("--", *(word.partition("=")[0].strip("-") for word in words[-2:])),
                lambda found, place=place: _wrong_script(found),
                place,
            )
        shutil.rmtree(place)


def _without_paper(sweep: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in sweep.items() if key != "paper"}


def _text(sweep: Any) -> bytes:
    if not isinstance(sweep, dict):
        return b""
    lines = [f"{name} = {value!r}" for name, value in sweep.items() if str(name).isidentifier()]
    text = "\n".join(lines).replace("nan", "float('nan')").replace(": inf", ": float('inf')")
    return text.encode("utf-8", "surrogatepass")


def _script(words: list[str]) -> str:
    arguments = submission_parser(None).parse_args(words)
    return script_text(training_job(REPO / "tools/train.py", arguments, []))


def _wrong_script(script: str) -> str | None:
    """Only lines of our own may stand in a script: no value may make one."""
    for line in script.splitlines():
        if line.strip().startswith(("touch", "$(", "`", "; ")) or line == "b":
            return f"a value makes a line of the script: {line!r}"
    return None
