"""Checkpoints of mmengine under setup_env: safe to read, never half written."""

import builtins
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.model import BaseModel
from mmengine.runner import CheckpointLoader, Runner, save_checkpoint
from mmengine.runner import checkpoint as mm_checkpoint
from torch import nn

from attnseg import _compat_io
from attnseg._compat_io import load_from_local, safe_torch_load


class Toy(BaseModel):
    """One linear layer that learns to give zero."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, inputs: list, mode: str = "tensor") -> object:
        loss = self.layer(torch.stack(inputs)).square().mean()
        return {"loss": loss, "loss_part": loss.detach() * 0.5} if mode == "loss" else []


class Evil:
    """Pickled code: creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple:
        return builtins.open, (self.path, "w")


def _runner(work_dir: Path, epochs: int, **kwargs: object) -> Runner:
    data = [torch.ones(2) for _ in range(4)]
    loader = {
        "dataset": data,
        "batch_size": 2,
        "sampler": {"type": "DefaultSampler", "shuffle": True},
        "collate_fn": lambda batch: {"inputs": batch},
    }
    return Runner(
        model=Toy(),
        work_dir=str(work_dir),
        train_dataloader=loader,
        train_cfg={"by_epoch": True, "max_epochs": epochs},
        optim_wrapper={"optimizer": {"type": "AdamW", "lr": 0.01}},
        param_scheduler={"type": "LinearLR", "start_factor": 0.1, "end": 3},
        default_hooks={"logger": {"type": "LoggerHook", "interval": 1}},
        randomness={"seed": 0},
        experiment_name=f"toy_{work_dir.name}_{epochs}_{id(kwargs)}",
        default_scope="mmengine",
        **kwargs,
    )


def test_real_checkpoint_saves_and_resumes(tmp_path: Path) -> None:
    runner = _runner(tmp_path, 2)
    runner.train()
    stored = safe_torch_load(tmp_path / "epoch_2.pth")
    history = stored["message_hub"]["log_scalars"]["train/loss"]
    assert len(history.data[0]) == 4 and history.mean() > 0
    again = _runner(tmp_path, 3, resume=True)
    again.train()
    assert (again.epoch, again.iter) == (3, 6)
    assert (tmp_path / "epoch_3.pth").is_file()
    assert not list(tmp_path.glob(".*.tmp"))


def test_malicious_checkpoint_runs_nothing(tmp_path: Path) -> None:
    file, trace = tmp_path / "evil.pth", tmp_path / "trace"
    torch.save({"state_dict": {"w": torch.ones(1)}, "meta": Evil(trace)}, file)
    for load in (
        lambda: CheckpointLoader.load_checkpoint(str(file)),
        lambda: mm_checkpoint._safe_torch_load(str(file)),
        lambda: mm_checkpoint._safe_torch_load(str(file), weights_only=False),
        lambda: mm_checkpoint.load_checkpoint(Toy(), str(file)),
        lambda: _runner(tmp_path, 1, load_from=str(file)).train(),
    ):
        with pytest.raises(RuntimeError, match=r"evil\.pth: not a plain weights file.*open"):
            load()
    assert not trace.exists()


def test_getattr_in_a_checkpoint_reaches_only_log_histories(tmp_path: Path) -> None:
    class Reach:
        def __reduce__(self) -> tuple:
            return getattr, (np.ndarray, "tofile")

    file = tmp_path / "reach.pth"
    torch.save({"x": Reach()}, file)
    with pytest.raises(RuntimeError, match="not a plain weights file"):
        safe_torch_load(file)


def test_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    file = tmp_path / "half.pth"
    torch.save({"w": torch.ones(1000)}, file)
    file.write_bytes(file.read_bytes()[:1500])
    with pytest.raises(RuntimeError, match=r"half\.pth: (damaged|not a plain)"):
        safe_torch_load(file)
    for content in (b"", b"hello\n", b"\x80\x02K", b"<html></html>", b"}u.", b"version https://"):
        file.write_bytes(content)
        with pytest.raises(RuntimeError, match=r"half\.pth: (damaged|not a plain)"):
            safe_torch_load(file)


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pth: no such checkpoint"):
        CheckpointLoader.load_checkpoint(str(tmp_path / "none.pth"))


def test_arrays_of_numpy_1_are_read(tmp_path: Path) -> None:
    file = tmp_path / "old.pth"
    torch.save({"a": np.arange(3.0), "b": np.float32(2), "c": np.array([True])}, file)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    old = tmp_path / "numpy1.pth"
    with zipfile.ZipFile(old, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content.replace(b"numpy._core", b"numpy.core"))
    assert any(b"numpy._core" in content for content in members.values())
    stored = safe_torch_load(old)
    assert stored["a"].tolist() == [0, 1, 2] and stored["b"] == 2 and stored["c"].tolist() == [True]


def test_safetensors_are_weights(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    file, model = tmp_path / "toy.safetensors", Toy()
    save_file({"layer.weight": torch.full((1, 2), 3.0), "layer.bias": torch.ones(1)}, str(file))
    mm_checkpoint.load_checkpoint(model, str(file), map_location="cpu", strict=True)
    assert model.layer.weight.tolist() == [[3.0, 3.0]]
    file.write_bytes(b"no header here at all")
    with pytest.raises(RuntimeError, match="not a valid safetensors file"):
        CheckpointLoader.load_checkpoint(str(file))


def test_downloads_are_read_without_running_code(tmp_path: Path) -> None:
    file, trace = tmp_path / "evil.pth", tmp_path / "trace"
    torch.save({"meta": Evil(trace)}, file)
    seen = {}

    def fake_download(url: str, **kwargs: object) -> object:
        seen.update(kwargs)
        return torch.load(file, weights_only=kwargs["weights_only"])

    load_url = _compat_io._safe_load_url(fake_download)
    with pytest.raises(RuntimeError, match=r"https://x/evil\.pth: not a plain weights file"):
        load_url("https://x/evil.pth", map_location="cpu")
    assert seen["weights_only"] is True and not trace.exists()
    assert hasattr(mm_checkpoint.load_url, "attnseg_original")


def test_interrupted_checkpoint_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "last.pth"
    save_checkpoint({"w": torch.ones(1)}, str(file))

    def power_cut(handle: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", power_cut)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint({"w": torch.zeros(1)}, str(file))
    monkeypatch.undo()
    assert safe_torch_load(file)["w"].item() == 1
    assert os.listdir(tmp_path) == ["last.pth"]


def test_local_backend_is_atomic_for_text_too(tmp_path: Path) -> None:
    backend = get_file_backend(str(tmp_path))
    backend.put_text("héllo", tmp_path / "new" / "a.txt")
    assert backend.get_text(tmp_path / "new" / "a.txt") == "héllo"
    assert type(backend).attnseg_atomic


def test_history_getattr_refuses_other_owners() -> None:
    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        _compat_io._history_getattr(os, "system")


class CallsSystem:
    def __reduce__(self):
        return os.system, ("true",)


def test_a_blocked_module_is_named_and_nobody_told_to_unpickle(tmp_path: Path) -> None:
    file = tmp_path / "evil.pth"
    torch.save({"state_dict": CallsSystem()}, file)
    with pytest.raises(RuntimeError, match=r"reading it needs '(posix|nt|os)\.system'") as caught:
        load_from_local(str(file))
    assert "weights_only" not in str(caught.value)


def test_a_config_in_a_checkpoint_is_not_handed_to_resume(tmp_path: Path) -> None:
    file = tmp_path / "evil.pth"
    torch.save({"state_dict": {}, "meta": {"config": "import os", "cfg": "a = 1"}}, file)
    assert load_from_local(str(file))["meta"] == {"cfg": "a = 1"}
