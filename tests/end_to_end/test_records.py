"""Any mmseg or mmdet config leaves a record through our tools, also with two processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from attnseg.apis.experiment import UsageError, build_config, run_test, run_train
from attnseg.file_hash import file_hash

REPO = Path(__file__).resolve().parents[2]

SEGFORMER = """
_base_ = 'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'
data_root = 'data/demo/'
keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip')
pipeline = [
    dict(type='attnseg.LoadImage'),
    dict(type='attnseg.LoadPanopticAsSemantic'),
    dict(type='PackSegInputs', meta_keys=keys),
]
common = dict(type='attnseg.CocoPanopticSemanticDataset', data_root=data_root, pipeline=pipeline)
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(
        _delete_=True, ann_file='annotations/panoptic_train.json',
        data_prefix=dict(img_path='images/train/', seg_map_path='panoptic/train/'), **common))
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(
        _delete_=True, ann_file='annotations/panoptic_val.json', test_mode=True,
        data_prefix=dict(img_path='images/val/', seg_map_path='panoptic/val/'), **common))
test_dataloader = val_dataloader
val_evaluator = [dict(type='IoUMetric', iou_metrics=['mIoU']), dict(type='attnseg.SemanticMetric')]
test_evaluator = val_evaluator
train_cfg = dict(max_iters=2, val_interval=2)
norm_cfg = dict(type='BN')
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(init_cfg=None),
    decode_head=dict(num_classes=5, norm_cfg=norm_cfg))
"""

SOLOV2 = """
_base_ = 'mmdet::solov2/solov2_r50_fpn_1x_coco.py'
data_root = 'data/demo/'
classes = ('disk', 'star', 'ring')
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs'),
]
common = dict(_delete_=True, type='CocoDataset', data_root=data_root, pipeline=pipeline,
              metainfo=dict(classes=classes))
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(
    ann_file='annotations/instances_train.json', data_prefix=dict(img='images/train/'), **common))
val_dataloader = dict(batch_size=1, num_workers=0, persistent_workers=False, dataset=dict(
    ann_file='annotations/instances_val.json', data_prefix=dict(img='images/val/'),
    test_mode=True, **common))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1)
model = dict(
    backbone=dict(depth=18, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=32),
    mask_head=dict(
        num_classes=3, in_channels=32, feat_channels=32, stacked_convs=1,
        mask_feature_head=dict(feat_channels=32, out_channels=32)))
"""


def _record(folder: Path, mode: str) -> dict:
    records = [json.loads(path.read_text()) for path in folder.glob("*/record*.json")]
    (record,) = [record for record in records if record["mode"] == mode]
    return record


def _launched(tool: str, *arguments: object, cwd: Path) -> None:
    launch = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    launch += ["--rdzv-endpoint=localhost:0", str(REPO / "tools" / tool)]
    command = [sys.executable, *launch, *map(str, arguments), "--launcher", "pytorch"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_an_mmseg_config_with_one_and_two_processes(tmp_path: Path, demo_set: Path) -> None:
    config = tmp_path / "peer.py"
    config.write_text(SEGFORMER)
    _launched("train.py", config, "--data", demo_set, "--work-dir", "run", cwd=tmp_path)
    trained = _record(tmp_path / "run", "train")
    assert (trained["world_size"], trained["iter"], trained["data"]["images"]) == (2, 2, 4)
    weights = tmp_path / "run/iter_2.pth"
    _launched("test.py", config, weights, "--data", demo_set, "--work-dir", "two", cwd=tmp_path)
    run_test(build_config(config, data=demo_set, work_dir=tmp_path / "one", checkpoint=weights))
    two, one = (_record(tmp_path / name, "test") for name in ("two", "one"))
    assert (two["world_size"], one["world_size"]) == (2, 1)
    same = ("metrics", "evaluators", "data", "config", "checkpoint", "seed", "intervals", "iter")
    assert {key: two[key] for key in same} == {key: one[key] for key in same}
    assert one["metrics"]["mIoU"]["low"] is None
    bounds = one["metrics"]["semantic/mIoU"]
    assert 0 <= bounds["low"] <= bounds["value"] <= bounds["high"] <= 1
    # The foreign metric rounds to a hundredth of a percent.
    assert one["metrics"]["mIoU"]["value"] == pytest.approx(100 * bounds["value"], abs=0.006)
    assert one["data"] == {
        "type": "CocoPanopticSemanticDataset",
        "split": "val",
        "annotations": "panoptic_val.json",
        "hash": file_hash(demo_set / "annotations/panoptic_val.json"),
        "images": 4,
        "classes": ["disk", "star", "ring", "grass", "sand"],
        "things": None,
    }
    assert one["evaluators"][0]["settings"] == {"iou_metrics": ["mIoU"]}
    for record in (trained, two, one):
        cost = record["cost"]
        assert cost["params"] == one["cost"]["params"] and cost["input"] == [1, 3, 64, 64]
        assert cost["macs"] == one["cost"]["macs"] > 1e8
        assert record["config"]["hash"] == trained["checkpoint"]["config_hash"]
    assert two["command"].endswith("--work-dir two --launcher pytorch")


@pytest.mark.slow
def test_an_mmdet_config(tmp_path: Path, demo_set: Path) -> None:
    config = tmp_path / "peer.py"
    config.write_text(SOLOV2)
    shared = {"data": demo_set, "work_dir": tmp_path / "run"}
    run_train(build_config(config, **shared))
    run_test(build_config(config, checkpoint=tmp_path / "run/epoch_1.pth", **shared))
    train, test = (_record(tmp_path / "run", mode) for mode in ("train", "test"))
    truth = file_hash(demo_set / "annotations/instances_val.json")
    for record in (train, test):
        assert record["data"]["type"] == "CocoDataset" and record["data"]["hash"] == truth
        (evaluator,) = record["evaluators"]
        assert evaluator["type"] == "CocoMetric" and evaluator["annotations"] == truth
        assert evaluator["settings"]["metric"] == "segm"
        assert "ann_file" not in evaluator["settings"]
        assert record["cost"]["macs"] > 1e8 and record["cost"]["latency_ms_p50"] > 0
        assert record["intervals"] is None
        assert all(row["low"] is None for row in record["metrics"].values())
    assert test["cost"]["training_seconds"] <= train["cost"]["training_seconds"]
    assert (tmp_path / "run/result.json").is_file()


@pytest.mark.slow
def test_predictions_are_saved_and_named(tmp_path: Path, demo_set: Path) -> None:
    config = tmp_path / "peer.py"
    config.write_text(SEGFORMER)
    shared = {"data": demo_set, "work_dir": tmp_path / "run"}
    run_train(build_config(config, **shared))
    weights, saved = tmp_path / "run/iter_2.pth", tmp_path / "run/predictions"
    plain = run_test(build_config(config, checkpoint=weights, **shared))
    options = {"checkpoint": weights, "save_predictions": saved, "data": demo_set}
    with_files = run_test(build_config(config, **options, work_dir=tmp_path / "run/again"))
    assert with_files == plain and any(saved.iterdir())
    first, second = _record(tmp_path / "run", "test"), _record(tmp_path / "run/again", "test")
    assert first["predictions"] is None and second["predictions"] == str(saved)
    # Saving is no other way to measure.
    for key in ("evaluators", "config"):
        assert first[key] == second[key]


def test_a_file_in_place_of_the_predictions_folder_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "peer.py"
    config.write_text(SEGFORMER)
    with pytest.raises(UsageError, match="--save-predictions: '.*peer.py' is a file"):
        build_config(config, save_predictions=config)
