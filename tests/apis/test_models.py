"""Models of our configs by name."""

from pathlib import Path

import pytest
import torch
import yaml

from attnseg.apis import get_model, list_models
from attnseg.apis.command import UsageError
from attnseg.apis.experiment import find_config
from attnseg.datasets.demo import CLASSES
from tests.apis.segment_rooms import write_images, write_room
from tests.conftest import REPO

SMALL = "manet_small_1xb8-400i_camvid11-semantic-128x128"


def test_every_leaf_is_listed_once() -> None:
    leaves = {
        path.stem
        for path in REPO.glob("configs/*/*.py")
        if path.parent.name not in ("_base_", "sweeps") and not path.name.startswith("base")
    }
    names = list_models()
    assert names == sorted(leaves)
    files = [yaml.safe_load(path.read_text()) for path in REPO.glob("configs/*/metafile.yml")]
    for entry in (entry for file in files for entry in file["Models"]):
        assert find_config(entry["Name"]) == REPO / entry["Config"]


def test_patterns_and_tasks() -> None:
    assert list_models("refine_best*") == ["refine_best", "refine_best_interactive"]
    assert list_models("refine_best", "interactive") == ["refine_best"]
    assert list_models(["manet_small_*", "refine_best"], ["*dsb2018*", "*inter*"]) == [
        SMALL,
        "refine_best",
    ]
    parts = [list_models(task=t) for t in ("instance", "panoptic", "Semantic Segmentation")]
    parts.append(list_models(task="refinement"))
    assert sorted(sum(parts, [])) == list_models()
    assert list_models("no such") == []
    with pytest.raises(UsageError, match="'segmentation' is unknown: .* Mask Refinement"):
        list_models(task="segmentation")


def test_a_model_and_its_changes() -> None:
    model = get_model(SMALL, device="cpu")
    assert not model.training and model.decode_head.num_classes == 11
    other = get_model(f"attnseg::manet/{SMALL}.py", device="cpu", decode_head={"num_classes": 3})
    assert other.decode_head.conv_seg.out_channels == 3
    assert other.decode_head.in_channels == model.decode_head.in_channels
    with torch.no_grad():
        assert other(torch.zeros(1, 3, 64, 64), mode="tensor").shape[1] == 3


def test_functions_of_mmdet_take_it(tmp_path: Path) -> None:
    from mmdet.apis import inference_detector

    model = get_model(*write_room("instance", tmp_path), device="cpu")
    assert model.dataset_meta["classes"] == CLASSES[:3]
    found = inference_detector(model, str(write_images(tmp_path / "images") / "gray.jpg"))
    assert found.pred_instances.masks.shape[1:] == (33, 70)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    config, weights = write_room("instance", tmp_path)
    for name, given, options, message in (
        (SMALL.replace("small", "smal"), None, {}, f"Did you mean {SMALL}"),
        (SMALL, tmp_path / "none.pth", {}, "none.pth' not found"),
        (SMALL, weights, {}, "do not fit EncoderDecoder"),
        (config, weights, {"head": {"num_things": 4}}, "of another shape"),
        (SMALL, None, {"decode_hed": {}}, "decode_hed"),
        (SMALL, None, {"device": "cuda:77"}, "device 'cuda:77' cannot be used"),
        ("attnseg::_base_/runtime/default.py", None, {}, "has no model"),
    ):
        with pytest.raises(UsageError, match=message):
            get_model(name, given, **{"device": "cpu", **options})
