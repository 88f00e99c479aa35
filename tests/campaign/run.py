"""``python -m tests.campaign.run COUNT SEED OUT [CATEGORY...]``: read that many damaged inputs.

Runs in a process of its own, so that what hangs or eats the memory ends this process alone.
"""

import json
import logging
import os
import resource
import sys
import tempfile
import warnings
from importlib import import_module
from pathlib import Path
from random import Random

import torch

from attnseg.compat import setup_env

setup_env()

from attnseg.datasets.demo import generate_demo_set
from tests.campaign.watch import Report, examine

SHARES = {
    "annotations": 0.3,
    "images": 0.18,
    "configs": 0.12,
    "checkpoints": 0.12,
    "results": 0.16,
    "strokes": 0.06,
    "sweeps": 0.06,
}
# No input of a few kilobytes may need more.
_MEMORY = 2 << 30


def run(count: int, seed: int, categories: list[str], folder: Path) -> dict[str, Report]:
    """Read ``count`` inputs in all, of each category its share."""
    demo = Path(generate_demo_set(folder / "demo", num_train=2, num_val=4, size=(64, 64), seed=0))
    reports = {}
    total = sum(SHARES[category] for category in categories)
    for category in categories:
        module = import_module(f"tests.campaign.{category}")
        report = reports[category] = Report()
        place = folder / category
        place.mkdir()
        inputs = module.cases(Random(f"{category} {seed}"), place, demo)
        for _ in range(max(1, round(count * SHARES[category] / total))):
            examine(next(inputs), report)
        print(category, dict(report.counts), len(report.defects), flush=True)
    return reports


def limit_memory() -> None:
    """Let an allocation fail rather than the machine."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, used + _MEMORY))


def main() -> None:
    """Run as the command line says."""
    count, seed, out, *categories = sys.argv[1:]
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    for category in categories or SHARES:
        import_module(f"tests.campaign.{category}")
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        limit_memory()
        reports = run(int(count), int(seed), categories or list(SHARES), Path(name))
    content = {
        category: {"counts": dict(report.counts), "defects": report.defects}
        for category, report in reports.items()
    }
    Path(out).write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
