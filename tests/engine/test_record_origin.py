"""What a record says of the weights: where they come from, and the seed of their training."""

from pathlib import Path

import torch

from attnseg.file_hash import file_hash
from tests.engine.recorded import EPOCHS, make_runner, records_in


def _record(folder: Path) -> dict:
    (record,) = records_in(folder)
    return record


def test_weights_that_name_no_seed_have_none(tmp_path: Path) -> None:
    bare = tmp_path / "bare.pth"
    torch.save(make_runner(tmp_path / "made").model.state_dict(), bare)
    make_runner(tmp_path / "bare", load_from=str(bare), randomness={"seed": 9}).test()
    assert _record(tmp_path / "bare")["seed"] is None
    # Without weights it is the seed that drew them.
    make_runner(tmp_path / "drawn", randomness={"seed": 9}).test()
    assert _record(tmp_path / "drawn")["seed"] == 9


def test_starting_weights_are_named_by_their_content(tmp_path: Path) -> None:
    make_runner(tmp_path / "scratch").train()
    assert _record(tmp_path / "scratch")["config"]["init"] is None
    start = tmp_path / "scratch/epoch_1.pth"
    make_runner(tmp_path / "tuned", load_from=str(start)).train()
    expected = file_hash(start)
    assert _record(tmp_path / "tuned")["config"]["init"] == expected
    # A resumed training began where its first part did.
    longer, first = EPOCHS | {"max_epochs": 3}, str(tmp_path / "tuned/epoch_2.pth")
    make_runner(tmp_path / "resumed", train_cfg=longer, load_from=first, resume=True).train()
    assert _record(tmp_path / "resumed")["config"]["init"] == expected
    for part, last in (("tuned", 2), ("resumed", 3)):
        folder = tmp_path / f"test_{part}"
        make_runner(folder, load_from=str(tmp_path / part / f"epoch_{last}.pth")).test()
        assert _record(folder)["config"]["init"] == expected
    make_runner(tmp_path / "plain", load_from=str(start)).test()
    assert _record(tmp_path / "plain")["config"]["init"] is None


def test_a_resumed_training_from_scratch_has_no_starting_weights(tmp_path: Path) -> None:
    make_runner(tmp_path).train()
    longer = EPOCHS | {"max_epochs": 3}
    start = {"load_from": str(tmp_path / "epoch_2.pth"), "resume": True}
    make_runner(tmp_path / "resumed", train_cfg=longer, **start).train()
    assert _record(tmp_path / "resumed")["config"]["init"] is None
