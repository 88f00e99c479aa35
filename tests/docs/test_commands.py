"""Every command of the pages is run, run dry, or read by its own parser with its config built."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from attnseg.apis import experiment
from tests.docs.kinds import OWN_TESTS, SWEEP, kind, program
from tests.docs.pages import COMMANDS, REPO, Command
from tests.docs.world import (
    call,
    check_read,
    for_one_step,
    make_world,
    put_weights,
    with_drawn_weights,
    words_here,
)

# Each command of these, or what it prints, is held to the page by the page's own test.
WORD_FOR_WORD = ("docs/tutorial.md", "docs/configs.md")


def test_every_command_is_known() -> None:
    assert [str(command) for command in COMMANDS if kind(command) is None] == []


@pytest.mark.parametrize("page", OWN_TESTS)
def test_a_page_with_a_test_of_its_own_is_in_it(page: str) -> None:
    file, _ = OWN_TESTS[page]
    assert Path(page).name in (REPO / file).read_text()


@pytest.mark.parametrize("option", ["--dta", "--max-itters 3"])
def test_a_misspelt_option_is_found(option: str, tmp_path, demo_set, monkeypatch) -> None:
    config = "maskattn-unet_small_1xb8-400i_demo-panoptic-128x128"
    command = Command("README.md", f"python tools/train.py {config} {option}", ())
    monkeypatch.chdir(make_world(tmp_path / "world", "README.md", demo_set))
    with pytest.raises(AssertionError, match="status 2"):
        check_read(command, [config, *option.split()], monkeypatch)


def test_a_misspelt_tool_is_found() -> None:
    words = ("python", "tools/tain.py", "mine.py")
    assert kind(Command("README.md", shlex.join(words), words)) is None


@pytest.mark.parametrize("page", sorted({command.page for command in COMMANDS}))
def test_commands_of_a_page_in_their_order(page: str, tmp_path, demo_set, monkeypatch) -> None:
    folder = make_world(tmp_path / "world", page, demo_set)
    for command in (command for command in COMMANDS if command.page == page):
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            try:
                check(command, demo_set, patch)
            except Exception as error:
                raise AssertionError(f"failed: {command}") from error


def check(command: Command, demo_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = words_here(command)
    what = kind(command)
    assert what is not None, "unknown command"
    first, tool = words[0], program(command)
    if first == "make":
        assert re.search(rf"^{words[1]}:", (REPO / "Makefile").read_text(), re.MULTILINE)
        planned = ["make", "-n", "-C", str(REPO), words[1]]
        assert subprocess.run(planned, capture_output=True, check=False).returncode == 0
    elif first == "pip":
        assert words[1] in ("install", "wheel")
        own = words[2].startswith(("-", "dist/"))
        assert own or Requirement(words[2]).name in requirements()
    elif first == "mim":
        configs = [word for word in words if word.endswith(".py")]
        assert words[1] in ("train", "test", "search") and words[2] == "attnseg"
        assert all(experiment.find_config(name) for name in configs)
    elif tool is None:
        assert first in ("export", "[") or len(words) == 3 or what == "own test", command
    elif command.page not in WORD_FOR_WORD:
        assert (REPO / f"tools/{tool}.py").is_file() or (REPO / f"tools/{tool}.sh").is_file()
        check_tool(command, tool, words, demo_set, monkeypatch)


def check_tool(command: Command, tool: str, words: list[str], demo_set, monkeypatch) -> None:
    what = kind(command)
    named = (f"tools/{tool}.py", f"tools/{tool}.sh", tool.replace("_", "-"))
    rest = words[next(i for i, word in enumerate(words) if word in named) + 1 :]
    if tool.startswith("slurm/dist_"):
        # The script hands all but the number of processes to the tool.
        tool = tool.removeprefix("slurm/dist_")
        rest = [word for word in rest if word != "8"]
        command = Command(command.page, f"python tools/{tool}.py", command.words)
    if tool != "convert_refine_weights":
        put_weights(rest)
    if "--launcher" in rest:
        monkeypatch.setenv("RANK", "0")
        monkeypatch.setenv("SLURM_PROCID", "0")
    if what in ("read", "own test"):
        check_read(command, rest, monkeypatch)
        return
    if tool == "make_demo_set":
        rest[0] = "made"  # data/demo is the demo set of all tests
    if tool == "leaderboard" and rest[0] == "gate":
        call(tool, [*rest, "--write"], monkeypatch)
    if what == "dry run" and "--dry-run" not in rest:
        at = rest.index("--") if "--" in rest else len(rest)
        rest[at:at] = ["--dry-run"]
    if tool == "train":
        monkeypatch.setattr(experiment, "run_train", for_one_step(demo_set, experiment.run_train))
    if tool == "test":
        monkeypatch.setattr(
            experiment, "run_test", with_drawn_weights(demo_set, experiment.run_test)
        )
    call(tool, rest, monkeypatch)


def requirements() -> set[str]:
    lines = [
        line.partition("#")[0].strip()
        for file in (REPO / "requirements").glob("*.txt")
        for line in file.read_text().splitlines()
    ]
    return {Requirement(line).name for line in lines if line}


def test_each_command_of_sweeps_is_known() -> None:
    used = {command.words[2] for command in COMMANDS if program(command) == "sweep"}
    assert used == set(SWEEP)
