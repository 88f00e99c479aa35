"""What is done with each command of the pages: run here, run by the page's own test, or read."""

import re
from collections import Counter

from tests.docs.pages import COMMANDS, Command

# Pages whose own tests run these tools' commands as they stand.
OWN_TESTS = {
    "docs/tutorial.md": ("tests/docs/test_tutorial.py", ""),
    "docs/configs.md": ("tests/apis/test_configs_page.py", ""),
    "docs/doctor.md": ("tests/apis/doctor/test_page.py", ""),
    "docs/inference.md": ("tests/apis/test_inference_docs.py", "tools/segment.py"),
    "docs/cells.md": ("tests/datasets/test_cells_page.py", "tools/dataset_converters/"),
    "docs/leaderboard.md": ("tests/leaderboard/test_tool.py", "tools/leaderboard.py"),
    "docs/refine_page.md": ("tests/apis/test_refine_docs.py", "tools/refine_"),
    "docs/external_results.md": ("tests/apis/test_external_results.py", "tools/"),
}
# Tools whose commands are run here, with the demo set in place of the data.
RUN = (
    "leaderboard",
    "make_demo_set",
    "plan_scale",
    "print_config",
    "submit",
    "test",
    "train",
)
DRY_RUN = ("slurm/submit",)
# Others end behind their parser and the search for their configs: they need other data, a
# browser, weights, or half an hour. Each has tests of its own.
READ = (
    "analyze_dependency",
    "benchmark",
    "convert_refine_weights",
    "count_strokes",
    "dataset_converters/cityscapes",
    "doctor",
    "draw_activations",
    "export",
    "publish",
    "refine_app",
    "segment",
)
SWEEP = {"plan": "run", "status": "run", "submit": "dry run", "run": "read", "table": "read"}
# Words that stand for a name of the reader's.
PLACEHOLDERS = {
    "CONFIG": "maskattn-unet_small_1xb8-400i_demo-panoptic-128x128",
    "CONFIG_A": "maskattn-unet_small_1xb8-400i_demo-panoptic-128x128",
    "CONFIG_B": "maskattn-unet_small_1xb8-400i_dsb2018-panoptic-128x128",
    "SWEEP": "maskattn-unet_table5_unet",
    "CHECKPOINT": "iter_1.pth",
    "IMAGE": "data/demo/images/val/000000.png",
    "IMAGE...": "data/demo/images/val/000000.png",
    "DATA": "data/demo",
    "DIR": "run",
    "SEED": "0",
    "RESULTS": "preds",
    "FORMAT": "labels",
    "IMAGE_INFO.json": "data/demo/annotations/instances_val.json",
    "FILE.zip": "detections_val_mine_results.zip",
    "FILE.pth": "iter_1.pth",
    "published/NAME-<hash>.json": "maskattn-unet_small_1xb8-400i_demo-panoptic-128x128",
}
CONFIG_OF_PAGE = {
    "configs/iaunet/README.md": "iaunet_small_1xb4-1200i_dsb2018-instance-128x128",
    "projects/attnseg/iaunet/README.md": "iaunet_small_1xb4-1200i_dsb2018-instance-128x128",
    "configs/cspam_solov2/README.md": (
        "cspam-solov2_r50-small_1xb4-1200i_coco-mini-instance-144x256"
    ),
    "configs/manet/README.md": "manet_small_1xb8-400i_camvid11-semantic-128x128",
    "configs/baselines/README.md": "mask2former_small_1xb4-1200i_dsb2018-instance-128x128",
    "docs/cells.md": "_base_/datasets/evican_cells.py",
    "configs/sweeps/README.md": "iaunet/iaunet_r50_1xb8-16000i_evican-instance-512x512.py",
}
PROGRAM = re.compile(r"^(?:.* )?tools/(\S+)\.(?:py|sh)( |$)")
INSTALLED = re.compile(r"^(?:python -m )?attnseg ([a-z-]+)")


def program(command: Command) -> str | None:
    """The tool that a command calls, by its path below ``tools`` without suffix."""
    found, installed = PROGRAM.match(command.text), INSTALLED.match(command.text)
    if installed:
        return installed[1].replace("-", "_")
    return found[1] if found else None


def kind(command: Command) -> str | None:
    """``run``, ``dry run``, ``own test``, ``read``, or None for a command that nobody knows."""
    own = OWN_TESTS.get(command.page)
    if own and own[1] in command.text:
        return "own test"
    first = command.words[0]
    if first == "make":
        return "dry run"
    if first in ("pip", "mim", "export", "[") or command.text == "python -m attnseg":
        return "read"
    name = program(command)
    if name == "sweep":
        return SWEEP.get(command.words[2])
    if first in ("torchrun", "srun") or name in ("slurm/dist_train", "slurm/dist_test"):
        return "read"
    if INSTALLED.match(command.text):
        return "read"
    if first != "python" or name is None:
        return None
    if name in ("train", "test") and (command in _REPEATED or "<hash>" in command.text):
        return "read"
    for names, what in ((RUN, "run"), (DRY_RUN, "dry run"), (READ, "read")):
        if name in names:
            return what
    return None


def _repeated() -> set[Command]:
    """Trainings and tests of a config that another command of its page runs; and other evaluations.

    The networks of the papers' settings need minutes for a step at their size, and are read.
    """
    seen: set[tuple[str, ...]] = set()
    repeated = set()
    for command in COMMANDS:
        if command.words[0] != "python" or len(command.words) < 3:
            continue
        saves = "--save-predictions" in command.words
        key = (command.page if saves else command.page.rpartition("/")[0], *command.words[1:3])
        large = re.search(r"_r50_|_paper_|tiny16-32|medium|_interactive", command.text)
        if key in seen or large:
            repeated.add(command)
        seen.add(key)
    return repeated


_REPEATED = _repeated()


def main() -> None:
    """Print how many commands there are of each kind."""
    print(len(COMMANDS), dict(Counter(map(kind, COMMANDS))))


if __name__ == "__main__":
    main()
