"""Which checkpoint a training goes on from."""

from pathlib import Path

import pytest
from mmengine.runner import save_checkpoint

from attnseg.engine.checkpoint_files import Found, newest_valid, remove_unfinished
from attnseg.errors import InputError


def save(folder: Path, name: str, iteration: int) -> Path:
    save_checkpoint({"meta": {"iter": iteration}, "state_dict": {}}, str(folder / name))
    return folder / name


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 16
    path.write_bytes(data)


def test_no_folder_and_no_checkpoint(tmp_path: Path) -> None:
    assert newest_valid(tmp_path / "none") == newest_valid(tmp_path) == Found()
    save(tmp_path, "best_iter_5.pth", 5)
    assert newest_valid(tmp_path) == Found()


def test_numbers_count_not_letters(tmp_path: Path) -> None:
    for epoch in (9, 10):
        save(tmp_path, f"epoch_{epoch}.pth", 7 * epoch)
    assert newest_valid(tmp_path) == Found(tmp_path / "epoch_10.pth", 70)


@pytest.mark.parametrize(
    ("stopped", "expected"), [(65, "epoch_10.pth"), (70, "preempted.pth"), (74, "preempted.pth")]
)
def test_the_one_with_most_behind_it(tmp_path: Path, stopped: int, expected: str) -> None:
    save(tmp_path, "epoch_10.pth", 70)
    save(tmp_path, "preempted.pth", stopped)
    assert newest_valid(tmp_path).path.name == expected


def test_a_stale_pointer_does_not_matter(tmp_path: Path) -> None:
    save(tmp_path, "iter_4.pth", 4)
    (tmp_path / "last_checkpoint").write_text("/gone/iter_90.pth")
    assert newest_valid(tmp_path).path.name == "iter_4.pth"


def test_damaged_ones_are_named_and_passed_over(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8, 10):
        save(tmp_path, f"iter_{step}.pth", step)
    (tmp_path / "iter_10.pth").write_bytes(b"")
    truncated = tmp_path / "iter_8.pth"
    truncated.write_bytes(truncated.read_bytes()[:-300])
    flip(tmp_path / "iter_6.pth")
    found = newest_valid(tmp_path)
    assert (found.path.name, found.iteration) == ("iter_4.pth", 4)
    empty, short, flipped = found.passed_over
    assert "iter_10.pth is empty" in empty
    assert "iter_8.pth is truncated" in short
    assert "iter_6.pth has other bytes" in flipped


def test_a_checkpoint_without_progress_cannot_be_resumed_from(tmp_path: Path) -> None:
    save(tmp_path, "iter_4.pth", 4)
    save_checkpoint({"state_dict": {}}, str(tmp_path / "iter_6.pth"))
    found = newest_valid(tmp_path)
    assert found.path.name == "iter_4.pth" and "iter_6.pth cannot be" in found.passed_over[0]


def test_nothing_whole_is_no_reason_to_start_anew(tmp_path: Path) -> None:
    flip(save(tmp_path, "iter_4.pth", 4))
    with pytest.raises(InputError, match=r"iter_4.pth has other bytes.*move them away"):
        newest_valid(tmp_path)


def test_halves_of_killed_processes_go(tmp_path: Path) -> None:
    whole = save(tmp_path, "iter_4.pth", 4)
    half, other = tmp_path / ".iter_8.pth.abc.tmp", tmp_path / ".result.json.x.tmp"
    for path in (half, other):
        path.touch()
    assert remove_unfinished(tmp_path) == [half]
    assert whole.is_file() and other.is_file() and not half.exists()
