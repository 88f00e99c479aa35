"""The switches of ``scale``: what they refuse, and that they change cost, not results."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch._dynamo
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from attnseg.apis.command import UsageError
from attnseg.apis.experiment import build_config, run_test, run_train
from attnseg.apis.scale import base_batch
from attnseg.apis.scale_plan import Cluster, ModelSize, plan, simulate_samplers
from attnseg.apis.submit_training import submission_parser, training_job
from attnseg.engine.blocks import checkpoint_blocks, compile_parts
from attnseg.engine.config_hash import config_hash
from attnseg.registry import MODELS
from tests.apis.scale_rooms import ROOMS, room_config
from tests.configs.test_leaves import on_demo_set, set_classes

REPO = Path(__file__).resolve().parents[2]
LEAF = ROOMS["maskattn_unet"]
HOOK = "attnseg.ExecutionHook"


def options(**scale: Any) -> dict[str, Any]:
    return {f"scale.{key}": value for key, value in scale.items()}


@pytest.mark.parametrize(
    ("scale", "parts"),
    [
        ({"acumulate": 2}, ("scale.acumulate", "accumulate")),
        ({"accumulate": 0}, ("scale.accumulate", "from 1 on")),
        ({"accumulate": True}, ("scale.accumulate", "from 1 on")),
        ({"accumulate": 3}, ("checkpoint", "interval=198")),
        ({"precision": "fp8"}, ("scale.precision", "'bf16'")),
        ({"precision": "fp16", "strategy": "fsdp"}, ("scale.precision=fp16", "bf16")),
        ({"compile": "yes"}, ("scale.compile", "True")),
        ({"strategy": "zero"}, ("scale.strategy", "'fsdp'")),
        ({"checkpoint_activations": 2}, ("checkpoint_activations", "backbone.layer1")),
        ({"lr_rule": "cube"}, ("scale.lr_rule", "'sqrt'")),
        ({"lr_rule": "linear", "base_batch": 0}, ("scale.base_batch", "from 1 on")),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    scale: dict[str, Any], parts: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError) as error:
        build_config(LEAF, cfg_options=options(**scale))
    assert all(part in str(error.value) for part in parts), error.value


@pytest.mark.parametrize("value", ["bf16", True, "", ["fsdp"]])
def test_scale_without_a_switch_is_refused_in_one_line(value: Any) -> None:
    with pytest.raises(UsageError, match=r"scale: expected switches such as scale\.precision=bf16"):
        build_config(LEAF, cfg_options={"scale": value})


def metrics_on(root: Path, checkpoint: Path, **scale: Any) -> dict[str, float]:
    cfg = build_config(
        LEAF, work_dir=checkpoint.parent, checkpoint=checkpoint, cfg_options=options(**scale)
    )
    on_demo_set(cfg, root)
    set_classes(cfg)
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    return run_test(cfg)


@pytest.mark.parametrize(
    ("scale", "parts"),
    [
        ({"strategy": "fsdp"}, ("scale.strategy=fsdp", "one", "torchrun")),
        ({"precision": "fp16"}, ("scale.precision=fp16", "GPU", "bf16")),
    ],
)
def test_a_machine_that_cannot_is_refused_by_the_training_alone(
    scale: dict[str, Any],
    parts: tuple[str, ...],
    demo_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mmengine.device.is_cuda_available", lambda: False)
    dotted = {f"scale__{key}": value for key, value in scale.items()}
    cfg = room_config("maskattn_unet", demo_set, tmp_path, **dotted)
    with pytest.raises(UsageError) as error:
        run_train(cfg)
    assert all(part in str(error.value) for part in parts), error.value
    weights = tmp_path / "weights.pth"
    torch.save({"state_dict": built(cfg).state_dict()}, weights)
    values = [metrics_on(demo_set, weights, **given) for given in (scale, {})]
    assert values[0] == pytest.approx(values[1], rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("words", [["--amp"], ["--cfg-options", "scale.strategy=fsdp"]])
def test_a_login_node_submits_what_needs_gpus_and_processes(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmengine.device.is_cuda_available", lambda: False)
    parsed = submission_parser(None).parse_args([LEAF, "--gpus-per-node", "4"])
    job = training_job(REPO / "tools/train.py", parsed, words)
    assert job.tasks_per_node == 4 and all(word in job.command for word in words)


def test_defaults_change_nothing_and_execution_keeps_the_hash() -> None:
    plain = build_config(LEAF)
    assert HOOK not in {hook["type"] for hook in plain.custom_hooks}
    assert plain.optim_wrapper.type == "OptimWrapper"
    faster = build_config(LEAF, cfg_options=options(compile=True, checkpoint_activations=True))
    assert HOOK in {hook["type"] for hook in faster.custom_hooks}
    assert config_hash(faster) == config_hash(plain)
    for other in ({"precision": "bf16"}, {"accumulate": 2}, {"lr_rule": "linear"}):
        assert config_hash(build_config(LEAF, cfg_options=options(**other))) != config_hash(plain)


def test_unknown_module_is_named(demo_set: Path, tmp_path: Path) -> None:
    cfg = room_config("maskattn_unet", demo_set, tmp_path, scale__checkpoint_activations=["bones"])
    with pytest.raises(UsageError, match="no module 'bones'; it has data_preprocessor, backbone"):
        run_train(cfg)


@pytest.mark.parametrize("name", ["sqrt", "linear"])
def test_rate_follows_the_batch_of_an_update(name: str, demo_set: Path, tmp_path: Path) -> None:
    cfg = room_config("maskattn_unet", demo_set, tmp_path, scale__lr_rule=name, scale__accumulate=2)
    assert base_batch(cfg) == 8
    plain = room_config("maskattn_unet", demo_set, tmp_path / "plain")
    factor = 2 * cfg.train_dataloader.batch_size / 8
    factor = factor**0.5 if name == "sqrt" else factor
    rates = [run_train(one).optim_wrapper.param_groups[0]["initial_lr"] for one in (cfg, plain)]
    assert rates[0] == pytest.approx(rates[1] * factor)
    text = next(tmp_path.glob("2*/*.log")).read_text()
    assert f"instead of 8 ({name}): 0.002 -> {0.002 * factor:.4g}" in text


def test_runs_of_one_process_write_into_their_own_folders(demo_set: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        runner = run_train(room_config("maskattn_unet", demo_set, folder, iters=1))
        own = folder / runner.timestamp
        assert runner.message_hub.get_info("iter") == 0
        assert len((own / "vis_data" / "scalars.json").read_text().splitlines()) == 1
        # The second part holds although both start within one second.
        runner.logger.info(f"end of {folder.name}")
        assert f"end of {folder.name}" in next(own.glob("*.log")).read_text()


def test_leaf_without_a_batch_in_its_name_has_to_say_it() -> None:
    with pytest.raises(UsageError, match=r"set scale\.base_batch|Set scale\.base_batch"):
        build_config("mask_refine/refine_best", auto_scale_lr="linear")
    cfg = build_config("mask_refine/refine_best", cfg_options=options(base_batch=64))
    assert cfg.custom_hooks == build_config("mask_refine/refine_best").custom_hooks


def batch_of(cfg: Config) -> Any:
    return next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))


def built(cfg: Config) -> torch.nn.Module:
    torch.manual_seed(0)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model.train()


def gradients(model: torch.nn.Module, batch: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    data = model.data_preprocessor(batch, True)
    loss, _ = model.parse_losses(model(**data, mode="loss"))
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("room", ROOMS)
def test_checkpointing_keeps_gradients_statistics_and_names(
    room: str, demo_set: Path, tmp_path: Path
) -> None:
    cfg = room_config(room, demo_set, tmp_path)
    plain, again, batch = built(cfg), built(cfg), batch_of(cfg)
    assert checkpoint_blocks(again, None, compiled=False) > 0
    expected, found = gradients(plain, batch), gradients(again, batch)
    assert set(expected) == set(found)
    for name, grad in expected.items():
        torch.testing.assert_close(found[name], grad, rtol=1e-6, atol=1e-6)
    states = again.state_dict()
    assert list(states) == list(plain.state_dict())
    for name, value in plain.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(states[name], value, rtol=1e-6, atol=1e-6)


class Compiler:
    """torch.compile with a backend that needs no C++ compiler, and counts its graphs."""

    def __init__(self, *, broken: bool) -> None:
        self.graphs, self.broken, self.compile = 0, broken, torch.compile

    def __call__(self, forward: Any) -> Any:
        return self.compile(forward, backend=self.backend)

    def backend(self, graph: torch.fx.GraphModule, _: Any) -> Any:
        if self.broken:
            raise RuntimeError("there is no compiler")
        self.graphs += 1
        return graph.forward


@pytest.mark.parametrize("broken", [False, True])
def test_compiled_parts_keep_gradients_and_names(
    broken: bool,
    demo_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    torch._dynamo.reset()
    compiler = Compiler(broken=broken)
    monkeypatch.setattr(torch, "compile", compiler)
    cfg = room_config("maskattn_unet", demo_set, tmp_path)
    plain, again, batch = built(cfg), built(cfg), batch_of(cfg)
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    assert compile_parts(again) == ([] if broken else ["backbone", "head"])
    found, expected = gradients(again, batch), gradients(plain, batch)
    # One graph is that of the trial.
    assert compiler.graphs == 0 if broken else compiler.graphs > 1
    warned = [item for item in caplog.messages if "scale.compile" in item]
    assert len(warned) == broken, warned
    assert set(found) == set(expected)
    for name, grad in expected.items():
        torch.testing.assert_close(found[name], grad, rtol=1e-5, atol=1e-6, msg=name)
    states = again.state_dict()
    assert list(states) == list(plain.state_dict())
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(states[name], value, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("room", ROOMS)
def test_bf16_trains_with_finite_losses(room: str, demo_set: Path, tmp_path: Path) -> None:
    cfg = room_config(room, demo_set, tmp_path, scale__precision="bf16")
    assert cfg.optim_wrapper.type == "attnseg.AutocastOptimWrapper"
    model = built(cfg)
    optim = Runner.build_optim_wrapper(SimpleNamespace(model=model), cfg.optim_wrapper)
    logged = model.train_step(batch_of(cfg), optim)
    assert logged["loss"].isfinite() and logged["loss"] > 0
    assert all(weight.dtype == torch.float32 for weight in model.parameters())
    assert all(weight.isfinite().all() for weight in model.parameters())


def test_accumulated_steps_are_one_large_batch(demo_set: Path, tmp_path: Path) -> None:
    """Without batch norm, and with a loss that is a mean over equally many pixels of each."""
    cfg = room_config("unet", demo_set, tmp_path)
    data = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    class Mean(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            from attnseg.maskattn_unet import MaskAttnUNet

            self.net = MaskAttnUNet(preset="small").eval()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)[0].square().mean()

    weights = []
    for steps in (1, 2):
        model = Mean()
        wrapper = dict(cfg.optim_wrapper, accumulative_counts=steps, clip_grad={"max_norm": 0.1})
        optim = Runner.build_optim_wrapper(SimpleNamespace(model=model), Config(wrapper)._cfg_dict)
        optim.initialize_count_status(model, 0, 3 * steps)
        for _ in range(3):
            for part in data.chunk(steps):
                optim.update_params(model(part))
        weights.append([p.detach() for p in model.parameters()])
    for one, other in zip(*weights, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def two_processes(
    root: Path, out: Path, runs: dict[str, tuple[dict[str, Any], Sequence[str]]]
) -> None:
    paths = f"{REPO / 'projects'}:{REPO}:{os.environ.get('PYTHONPATH', '')}"
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    launch = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    script = str(REPO / "tests/apis/scale_rooms.py")
    command = [sys.executable, *launch, "--rdzv-endpoint=localhost:0", script, "pytorch"]
    done = subprocess.run(
        [*command, str(root), str(out), json.dumps(runs)],
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for folder, (_, rooms) in runs.items():
        for room in rooms:
            assert f"\n{done.stdout}".count(f"\n{folder}/{room} done") == 2


@pytest.mark.slow
def test_every_room_trains_in_two_processes(demo_set: Path, tmp_path: Path) -> None:
    # Peers are mmdet's and mmseg's own; ATTNSEG_LONG=1 trains them too.
    rooms = list(ROOMS) if os.environ.get("ATTNSEG_LONG") else list(ROOMS)[:5]
    two_processes(demo_set, tmp_path, {"all": ({"iters": 1}, rooms)})


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert type(found[name]) is torch.Tensor
        if "running" not in name:
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.slow
def test_sharded_training_equals_ddp_and_leaves_a_plain_checkpoint(
    demo_set: Path, tmp_path: Path
) -> None:
    rooms = ("maskattn_unet", "manet")
    # Adam makes a full step of a gradient that is nothing but rounding.
    common = {
        **{"iters": 5, "optim_wrapper__optimizer__type": "SGD"},
        "default_hooks__checkpoint__interval": 3,
    }
    runs: dict[str, tuple[dict[str, Any], Sequence[str]]] = {}
    for strategy in ("ddp", "fsdp"):
        runs[strategy] = ({**common, "scale__strategy": strategy}, rooms)
    for strategy, start in (("ddp", "fsdp"), ("fsdp", "ddp")):
        resume = str(tmp_path / start / rooms[0] / "iter_3.pth")
        scale = {**common, "scale__strategy": strategy, "resume": resume}
        runs[f"{start}-then-{strategy}"] = (scale, rooms[:1])
    two_processes(demo_set, tmp_path, runs)

    def saved(folder: str, room: str) -> dict[str, Any]:
        file = tmp_path / folder / room / "iter_5.pth"
        return torch.load(file, weights_only=False, map_location="cpu")

    for room in rooms:
        ddp, fsdp = saved("ddp", room), saved("fsdp", room)
        assert_close(fsdp["state_dict"], ddp["state_dict"])
        assert set(ddp["optimizer"]["state"]) == set(fsdp["optimizer"]["state"])
    for folder in ("fsdp-then-ddp", "ddp-then-fsdp"):
        assert_close(saved(folder, rooms[0])["state_dict"], saved("ddp", rooms[0])["state_dict"])
    found, expected = (
        metrics_on(demo_set, tmp_path / name / rooms[0] / "iter_5.pth") for name in ("fsdp", "ddp")
    )
    assert found == pytest.approx(expected, rel=1e-4, nan_ok=True)


def test_samplers_of_512_processes_leave_no_image_out() -> None:
    images = 11_829
    found = simulate_samplers(images, 512)
    assert found["test"]["never"] == found["test"]["twice or more"] == 0
    assert found["train"]["never"] == 0
    assert found["train"]["twice or more"] == 512 * -(-images // 512) - images
    assert found["infinite"]["never"] == found["infinite"]["twice or more"] == 0


def test_plan_follows_from_its_numbers() -> None:
    cfg = build_config(LEAF)
    cluster = Cluster(network=1e9, disk=1e8, node_hours=100.0)
    found = plan(cfg, ModelSize(10, 1000, 2000, 10**8), 800, 16, cluster)
    assert (found["nodes"], found["images an update"], found["updates an epoch"]) == (2, 128, 7)
    assert found["rate factor, linear"] == 16 and found["rate factor, sqrt"] == 4
    assert found["all-reduce MB an update"] == pytest.approx(1000 * 2 * 15 / 16 / 1e6)
    assert found["checkpoint every s"] == pytest.approx((2 * 1.0 * 180_000) ** 0.5)
    assert found["workers a GPU"] == 5
