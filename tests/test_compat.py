"""The gaps that setup_env closes inside one process."""

import importlib.util
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from attnseg import compat
from attnseg.compat import IdGenerator, id2rgb, rgb2id, setup_env

HAS_OPERATORS = not isinstance(sys.modules.get("mmcv._ext"), compat._MissingOperators)
HAS_PANOPTICAPI = getattr(sys.modules.get("panopticapi"), "__file__", None) is not None


def test_setup_env_is_idempotent() -> None:
    from mmengine.dist import dist, utils
    from mmengine.fileio.backends import backends
    from mmengine.model import MMDistributedDataParallel

    def state() -> tuple:
        return (
            utils._init_dist_pytorch,
            utils._init_dist_slurm,
            dist.collect_results_cpu,
            MMDistributedDataParallel.__init__,
            backends["local"],
            sys.modules.get("mmcv._ext"),
            sys.modules.get("panopticapi"),
        )

    before = state()
    setup_env()
    assert state() == before


@pytest.mark.parametrize(
    "base",
    ["mmdet::_base_/schedules/schedule_1x.py", "mmseg::_base_/schedules/schedule_20k.py"],
)
def test_foreign_base_parses(tmp_path: Path, base: str) -> None:
    file = tmp_path / "leaf.py"
    file.write_text(f"_base_ = '{base}'\n")
    assert "train_cfg" in Config.fromfile(str(file))


def test_mmseg_distribution_is_the_installed_one() -> None:
    from importlib.metadata import distribution

    from mmengine.config import utils

    name = utils.MODULE2PACKAGE["mmseg"]
    assert name in ("onedl-mmsegmentation", "mmsegmentation")
    assert distribution(name).version


def test_original_mmseg_distribution_is_used_where_it_is_the_only_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import importlib.metadata

    from mmengine.config import utils

    def only_original(name: str) -> object:
        if name == "mmsegmentation":
            return object()
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", only_original)
    monkeypatch.setitem(utils.MODULE2PACKAGE, "mmseg", "unset")
    compat._register_packages()
    assert utils.MODULE2PACKAGE["mmseg"] == "mmsegmentation"


@pytest.mark.parametrize(
    ("name", "user"),
    [
        ("nms", "Mask R-CNN"),
        ("roi_align_forward", "Mask R-CNN"),
        ("ms_deform_attn_forward", "Deformable DETR"),
        ("modulated_deform_conv_forward", "deformable convolutions"),
        ("something_else", "some models"),
    ],
)
def test_missing_operator_says_who_needs_it(name: str, user: str) -> None:
    operators = compat._MissingOperators("mmcv._ext")
    with pytest.raises(RuntimeError, match=rf"'{name}'.*{user}.*make ops") as error:
        getattr(operators, name)(1, key=2)
    assert "\n" not in str(error.value)


def test_mmdet_imports_and_its_nms_reports_the_missing_operator() -> None:
    import torch
    from mmcv.ops import nms

    boxes, scores = torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([0.5])
    if HAS_OPERATORS:
        assert len(nms(boxes, scores, 0.5)[0]) == 1
        return
    with pytest.raises(RuntimeError, match="'nms' is not compiled"):
        nms(boxes, scores, 0.5)


def test_stub_does_not_hide_compiled_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mmcv._ext", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    compat._stub_operators()
    assert "mmcv._ext" not in sys.modules


def test_environment_report_of_mmengine_survives_the_stub() -> None:
    from mmengine.utils.dl_utils import collect_env

    assert "PyTorch" in collect_env()


def test_missing_mmcv_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "mmcv" else real(name)
    )
    with pytest.raises(ModuleNotFoundError, match="mmcv is not installed.*onedl-mmcv"):
        setup_env()


# Colours and ids worked out by hand: id = R + 256 G + 65536 B.
@pytest.mark.parametrize(
    ("rgb", "segment_id"),
    [([0, 0, 0], 0), ([1, 2, 3], 197121), ([255, 255, 255], 16777215), ([10, 1, 0], 266)],
)
def test_panoptic_ids_by_hand(rgb: list[int], segment_id: int) -> None:
    assert rgb2id(rgb) == segment_id
    assert id2rgb(segment_id) == rgb
    image = np.full((2, 3, 3), rgb, dtype=np.uint8)
    assert (rgb2id(image) == segment_id).all()
    assert (id2rgb(np.full((2, 3), segment_id)) == image).all()


def test_panoptic_ids_round_trip() -> None:
    ids = np.random.default_rng(0).integers(0, 1 << 24, (17, 5))
    assert id2rgb(ids).dtype == np.uint8
    assert (rgb2id(id2rgb(ids)) == ids).all()


def test_panoptic_ids_reject_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="must be in 0..16777215"):
        id2rgb(np.array([1 << 24]))
    with pytest.raises(ValueError, match="RGB values, got shape"):
        rgb2id(np.zeros((4, 4), dtype=np.uint8))


@pytest.mark.skipif(HAS_PANOPTICAPI, reason="the real panopticapi is installed")
def test_panopticapi_stand_in_serves_mmdet() -> None:
    import panopticapi
    import panopticapi.utils
    from mmdet.datasets.transforms import LoadPanopticAnnotations
    from mmdet.evaluation.metrics import coco_panoptic_metric

    assert importlib.util.find_spec("panopticapi").name == "panopticapi"
    assert panopticapi.utils.rgb2id is rgb2id
    LoadPanopticAnnotations()
    assert coco_panoptic_metric.panopticapi is panopticapi or (
        coco_panoptic_metric.panopticapi is None
    )
    from mmdet.apis import det_inferencer

    assert det_inferencer.VOID == 0, "DetInferencer refuses panoptic models without it"
    with pytest.raises(ImportError):
        from panopticapi.evaluation import PQStat  # noqa: F401


@pytest.mark.skipif(HAS_PANOPTICAPI, reason="the real panopticapi is installed")
def test_ade20k_converter_of_mmdet_imports() -> None:
    import mmdet

    file = Path(mmdet.__file__).parent / ".mim/tools/dataset_converters/ade20k2coco.py"
    spec = importlib.util.spec_from_file_location("ade20k2coco", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.IdGenerator is IdGenerator


def test_id_generator_gives_unique_ids_and_keeps_stuff() -> None:
    categories = {
        1: {"id": 1, "isthing": 1, "color": [0, 0, 0]},
        2: {"id": 2, "isthing": 0, "color": [5, 6, 7]},
        3: {"id": 3, "isthing": 1, "color": [5, 6, 7]},
    }
    generator = IdGenerator(categories)
    assert generator.get_id_and_color(2) == (rgb2id([5, 6, 7]), [5, 6, 7])
    assert generator.get_id(2) == rgb2id([5, 6, 7])
    ids = [generator.get_id(1 if number % 2 else 3) for number in range(400)]
    assert len(set(ids)) == 400
    assert not {0, rgb2id([5, 6, 7])} & set(ids)
    segment_id, color = generator.get_id_and_color(1)
    assert rgb2id(color) == segment_id
    assert isinstance(generator.get_color(3), list)


def test_compat_itself_does_not_import_mmdet_early() -> None:
    code = (
        "import sys; from attnseg.compat import setup_env; setup_env(); "
        "assert 'mmdet' not in sys.modules and 'mmseg' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_stub_is_a_module_with_a_spec() -> None:
    module = sys.modules["mmcv._ext"] if not HAS_OPERATORS else types.ModuleType("x")
    if not HAS_OPERATORS:
        assert module.__spec__.name == "mmcv._ext"
        assert not hasattr(module, "__wrapped__")
