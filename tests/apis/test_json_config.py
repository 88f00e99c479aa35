"""Configs in JSON: every one of ours goes through it unchanged, and a hostile one runs nothing."""

import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope, Registry, registry

from attnseg.apis.benchmark_inputs import read_model
from attnseg.apis.command import UsageError
from attnseg.apis.config_print import run_show
from attnseg.apis.experiment import build_config
from attnseg.apis.json_config import config_text, read_json_config
from attnseg.apis.json_types import FOREIGN, is_allowed
from attnseg.apis.registry_lock import lock_registries
from attnseg.engine.config_hash import config_hash

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PUBLISHABLE = sorted(path for path in CONFIGS.rglob("*.py") if path.parent.name != "sweeps")
OF_THE_RUN = ("work_dir", "load_from", "resume", "launcher")


@pytest.fixture(autouse=True)
def unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the registries back after each test."""
    for name in ("import_module", "get_object_from_string"):
        monkeypatch.setattr(registry, name, getattr(registry, name))


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module beside the config that leaves a file once it is imported or run."""
    (tmp_path / "canary_pkg").mkdir()
    left = tmp_path / "left"
    code = f"open({str(left)!r}, 'w').close()\ndef sing(**given): return given\n"
    for name in ("canary.py", "canary_pkg/__init__.py", "canary_pkg/registry.py"):
        (tmp_path / name).write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield left
    for name in [name for name in sys.modules if name.startswith("canary")]:
        del sys.modules[name]


def test_every_class_in_our_configs_is_on_the_list() -> None:
    named = {
        name
        for path in PUBLISHABLE
        for name in re.findall(r"\btype=[\"']([\w.]+)[\"']", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 100
    assert {name for name in named if not is_allowed(name)} == set()


def test_configs_of_ours_survive(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    for path in [path for path in PUBLISHABLE if "_base_" not in path.parts][::16]:
        cfg = Config.fromfile(path)
        file.write_text(config_text(cfg))
        found = read_json_config(file)
        expected = {k: v for k, v in cfg.to_dict().items() if k not in OF_THE_RUN}
        # Tuples stay tuples, and keys keep their order.
        assert repr(found.to_dict()) == repr(expected), path
        assert config_hash(found) == config_hash(cfg)


def test_tuples_infinities_and_dumps(tmp_path: Path) -> None:
    values = {"a": (1, [2.5, (True, None)], {"b": ()}), "c": float("inf"), "d": [-float("inf")]}
    file = tmp_path / "config.json"
    file.write_text(config_text(Config(values)))
    cfg = read_json_config(file)
    assert cfg.to_dict() == values and isinstance(cfg.a[1][1], tuple)
    cfg.copy().dump(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == file.read_text() == cfg.dump()
    cfg.dump(tmp_path / "again.py")
    assert (tmp_path / "again.py").read_text().startswith("a = (")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": {"act": [{"x": len}]}}, "'model.act.0.x' is <built-in function len>"),
        ({"model": {"type": dict}}, "'model.type' is <class 'dict'> of the type type"),
        ({"names": {1: "a"}}, "'names' has the key 1"),
        ({"names": {"__tuple__": 1}}, "'names' has the key '__tuple__'"),
        ({"model": {"type": "TwoOfMyOwn"}}, "'model.type' is 'TwoOfMyOwn', none of the classes"),
    ],
)
def test_what_is_no_plain_data_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        config_text(Config(values, filename=None))


NETWORK = {"type": "attnseg.MaskAttnUNet"}
HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "a base": ({"_base_": "canary.py"}, "_base_"),
    "a base inside": ({"model": {"_base_": ["canary.py"]}}, "model._base_"),
    "imports": ({"custom_imports": {"imports": ["canary"]}}, "custom_imports"),
    "a deletion": ({"model": {"_delete_": True, **NETWORK}}, "model._delete_"),
    "a function": ({"model": {"type": "canary.sing"}}, "model.type"),
    "a module": ({"model": {"type": "canary"}}, "model.type"),
    "a command": ({"model": {"type": "os.system", "command": "touch left"}}, "model.type"),
    "pip": (
        {"model": {"type": "mmengine.utils.package_utils.install_package", "package": "x"}},
        "model.type",
    ),
    "a function of ours": ({"model": {"type": "attnseg.compat.forget_runs"}}, "model.type"),
    "a module of ours": ({"model": {"type": "attnseg.compat"}}, "model.type"),
    "a foreign registry": ({"model": {"type": "canary_pkg.Net"}}, "model.type"),
    "a foreign scope": ({"default_scope": "canary_pkg", "model": NETWORK}, "default_scope"),
    "a scope inside": ({"model": {**NETWORK, "_scope_": "canary_pkg"}}, "model._scope_"),
    "a list of types": ({"model": {"type": ["canary.sing"]}}, "model.type"),
    "code for mmcv's eval": (
        {"model": {"test_cfg": {"nms": {"type": "open('left', 'w')", "iou_threshold": 0.5}}}},
        "model.test_cfg.nms.type",
    ),
    "a config for a teacher": ({"model": {"type": "attnseg.IAUNet", "t": "canary.py"}}, "model.t"),
    "a pickle": ({"test_dataloader": {"dataset": {"ann_file": "a.PKL"}}}, "ann_file"),
    "yaml": ({"model": {"class_weight": "weights.yaml "}}, "model.class_weight"),
    "a folder to delete": (
        {"test_evaluator": {"type": "mmseg.CityscapesMetric", "output_dir": "."}},
        "test_evaluator.type",
    ),
    "a place to write": (
        {"test_evaluator": [{"type": "attnseg.PredictionWriter", "out_dir": "/"}]},
        "test_evaluator.0.out_dir",
    ),
    "weights from elsewhere": ({"load_from": "http://127.0.0.1/x.pth"}, "load_from"),
    "a runner": ({"runner_type": "canary.sing"}, "runner_type"),
    "a collate function": (
        {"test_dataloader": {"collate_fn": "canary.sing"}},
        "test_dataloader.collate_fn",
    ),
    "the folder of the file": ({"data_root": "{{ fileDirname }}/x"}, "data_root"),
    "the environment": ({"data_root": "{{$HOME:/x}}"}, "data_root"),
    "hidden in a tuple": ({"a": {"__tuple__": [{"type": "canary.sing"}]}}, "a.0.type"),
    "half a tuple": ({"a": {"__tuple__": [], "type": "canary.sing"}}, "'a' is no tuple"),
    "half a number": ({"a": {"__float__": "__import__('canary')"}}, "'a' is no number"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_config_is_refused_and_runs_nothing(
    name: str, canary: Path, tmp_path: Path
) -> None:
    content, key = HOSTILE[name]
    file = tmp_path / "hostile.json"
    file.write_text(json.dumps(content))
    for read in (build_config, read_model, run_show):
        with pytest.raises(UsageError, match="hostile.json") as error:
            read(file)
        assert key in str(error.value)
    assert not canary.exists() and "canary" not in sys.modules


def test_a_link_with_the_name_of_data_runs_no_program(canary: Path, tmp_path: Path) -> None:
    file = tmp_path / "hostile.json"
    file.symlink_to(tmp_path / "canary.py")
    for read in (build_config, read_model, run_show):
        with pytest.raises(UsageError, match=r"hostile\.json: a link to .*canary\.py"):
            read(file)
    assert not canary.exists()


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", '{"a": NaN}', "[" * 100000, '{"filename": 1}', '{"a": "\ud800"}']
)
def test_what_is_no_config_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.json"
    file.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(UsageError, match="broken.json"):
        read_json_config(file)


def test_the_danger_is_real(canary: Path) -> None:
    """mmengine imports and runs what the tests above refuse."""
    with DefaultScope.overwrite_default_scope("mmengine"):
        MODELS.build({"type": "canary.sing", "word": 1})
    assert canary.exists()


@pytest.mark.parametrize("name", ["canary.sing", "canary", "canary_pkg.Net", "os.system"])
def test_locked_registries_import_nothing(name: str, canary: Path) -> None:
    lock_registries()
    with DefaultScope.overwrite_default_scope("mmdet"):
        with pytest.raises((KeyError, RuntimeError)):
            MODELS.build({"type": name})
        with pytest.raises((KeyError, RuntimeError)):
            MODELS.build({"type": "Nothing", "_scope_": "canary_pkg"})
        assert MODELS.get("attnseg.MaskAttnUNet") and MODELS.get("mmdet.MaskRCNN")
    assert not canary.exists()


# What would let a class run or delete what a config names.
DANGERS = re.compile(
    r"(?<![.\w])(?:eval|exec)\(|import_module\(|pickle\.|rmtree|os\.remove|os\.system|subprocess"
    r"|fromfile\(|fromstring\(|np\.load|getattr\(albumentations|from_pretrained"
)


# They remove files of their own run; ``out_dir``, which says where, is refused.
READ = ("CheckpointHook", "LoggerHook")


def test_foreign_classes_on_the_list_are_harmless() -> None:
    import mmdet.models  # noqa: F401
    import mmseg.models  # noqa: F401
    from mmengine import registry as roots

    found: dict[str, list[Any]] = {}

    def collect(node: Registry) -> None:
        node.import_from_location()
        for name, kind in node.module_dict.items():
            found.setdefault(name, []).append(kind)
        for child in node.children.values():
            collect(child)

    for value in vars(roots).values():
        if isinstance(value, Registry):
            collect(value)
    # mmdet and mmcv take these from mmcv.ops by name.
    assert set(FOREIGN) - set(found) <= {"nms", "soft_nms", "RoIAlign", "SimpleRoIAlign"}
    for name in FOREIGN & found.keys():
        for kind in found[name]:
            package = kind.__module__.partition(".")[0]
            if not inspect.isclass(kind) or package in ("torch", "attnseg"):
                continue
            for part in kind.__mro__:
                if part.__module__.startswith(("mmdet", "mmseg", "mmcv", "mmengine")):
                    hits = DANGERS.findall(inspect.getsource(part))
                    assert not hits or part.__name__ in READ, (name, part, hits)


@pytest.mark.parametrize("name", [3, None, "", ".", "mmdet.", "a.ResNet", "mmdet.models.ResNet"])
def test_names_that_are_no_class(name: Any) -> None:
    assert not is_allowed(name)
