"""tools/train.py and tools/test.py on tiny semantic and detection runs, from any directory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.runner import Runner

from attnseg.apis import experiment
from attnseg.apis.experiment import UsageError, build_config, find_config

REPO = Path(__file__).resolve().parents[2]

SEMANTIC = """
_base_ = [
    '{repo}/configs/_base_/runtime/semantic.py',
    '{repo}/configs/_base_/schedules/{schedule}.py',
]
data_root = 'data/tiny/'
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
dataset = dict(
    type='BaseSegDataset', data_root=data_root, pipeline=pipeline, img_suffix='.png',
    metainfo=dict(classes=('ground', 'object'), palette=[[0, 0, 0], [255, 0, 0]]),
    data_prefix=dict(img_path='images', seg_map_path='labels'))
train_dataloader = dict(
    batch_size=2, num_workers=0, dataset=dataset, sampler=dict(type='{sampler}', shuffle=True))
val_dataloader = dict(
    batch_size=1, num_workers=0, dataset=dataset,
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[128] * 3, std=[64] * 3, size=(32, 32), seg_pad_val=255),
    backbone=dict(
        type='ResNet', depth=18, base_channels=4, stem_channels=4, num_stages=1, strides=(1,),
        dilations=(1,), out_indices=(0,), norm_cfg=dict(type='BN')),
    decode_head=dict(
        type='FCNHead', in_channels=4, in_index=0, channels=4, num_convs=0, concat_input=False,
        num_classes={num_classes}, norm_cfg=dict(type='BN'),
        loss_decode=dict(type='CrossEntropyLoss')),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
"""

DETECTION = """
_base_ = 'mmdet::solov2/solov2_r50_fpn_1x_coco.py'
data_root = 'data/tiny/'
custom_hooks = [dict(type='attnseg.InvalidLossHook'), dict(type='attnseg.ResultHook')]
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='PackDetInputs'),
]
# Labels stay in the original size where predictions are drawn and scored.
test_pipeline = [pipeline[0], pipeline[2], pipeline[1], pipeline[3]]
dataset = dict(
    _delete_=True, type='CocoDataset', data_root=data_root, ann_file='coco.json',
    data_prefix=dict(img='images/'), metainfo=dict(classes=('object',)), pipeline=pipeline)
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=dataset)
val_dataloader = dict(
    batch_size=1, num_workers=0, persistent_workers=False,
    dataset={{**dataset, 'test_mode': True, 'pipeline': test_pipeline}})
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'coco.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1)
model = dict(
    backbone=dict(depth=18, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=32),
    mask_head=dict(
        num_classes=1, in_channels=32, feat_channels=32, stacked_convs=1,
        mask_feature_head=dict(feat_channels=32, out_channels=32)),
    # Untrained heads are unsure of everything: keep it all.
    test_cfg=dict(score_thr=0.0, mask_thr=0.1, filter_thr=0.0))
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four 32x32 images, each with one square: semantic labels and COCO instances."""
    root = tmp_path_factory.mktemp("tiny")
    generator = np.random.default_rng(0)
    (root / "images").mkdir()
    (root / "labels").mkdir()
    images, annotations = [], []
    for number in range(4):
        x, y = (int(value) for value in generator.integers(2, 14, 2))
        image = generator.integers(0, 80, (32, 32, 3)).astype(np.uint8)
        label = np.zeros((32, 32), np.uint8)
        image[y : y + 16, x : x + 16] += 120
        label[y : y + 16, x : x + 16] = 1
        cv2.imwrite(str(root / f"images/{number}.png"), image)
        cv2.imwrite(str(root / f"labels/{number}.png"), label)
        images.append({"id": number, "file_name": f"{number}.png", "height": 32, "width": 32})
        corners = [x, y, x + 16, y, x + 16, y + 16, x, y + 16]
        annotations.append(
            {
                "id": number + 1,
                "image_id": number,
                "category_id": 1,
                "bbox": [x, y, 16, 16],
                "area": 256,
                "iscrowd": 0,
                "segmentation": [corners],
            }
        )
    categories = [{"id": 1, "name": "object"}]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    (root / "coco.json").write_text(json.dumps(coco))
    return root


def _semantic(
    folder: Path,
    sampler: str = "InfiniteSampler",
    schedule: str = "adamw_2e-3_400i",
    classes: int = 2,
) -> Path:
    file = folder / "tiny_semantic.py"
    text = SEMANTIC.format(repo=REPO, schedule=schedule, sampler=sampler, num_classes=classes)
    file.write_text(text)
    return file


def _tool(
    name: str, *args: object, cwd: Path, launch: tuple[str, ...] = ()
) -> tuple[int, str, str]:
    command = [sys.executable, *launch, str(REPO / "tools" / name), *map(str, args)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240
    )
    return result.returncode, result.stdout, result.stderr


SHORT = ("train_cfg.max_iters=4", "train_cfg.val_interval=2", "default_hooks.checkpoint.interval=2")


@pytest.mark.slow
def test_semantic_train_resume_and_test_from_another_directory(tiny: Path, tmp_path: Path) -> None:
    config, elsewhere = _semantic(tmp_path), tmp_path / "elsewhere"
    elsewhere.mkdir()
    intervals = ("train_cfg.val_interval=2", "default_hooks.checkpoint.interval=2")
    options = ("--data", tiny, "--seed", "3", "--max-iters", "4", "--cfg-options", *intervals)
    code, _, errors = _tool("train.py", config, *options, cwd=elsewhere)
    assert code == 0, errors
    run = elsewhere / "work_dirs/tiny_semantic"
    record = json.loads((run / "result.json").read_text())
    assert (record["mode"], record["seed"], record["iter"]) == ("val", 3, 4)
    assert 0 <= record["metrics"]["mIoU"] <= 100
    assert record["evaluator"]["type"] == "IoUMetric"
    assert {path.name for path in run.glob("*.pth")} == {"iter_2.pth", "iter_4.pth"}

    longer = {"train_cfg.max_iters": 6, "train_cfg.val_interval": 6}
    again = {"work_dir": run, "data": tiny, "resume": "auto", "cfg_options": longer}
    with pytest.raises(UsageError, match=r"seed 3, not 0 \(--seed 3 goes on\)"):
        experiment.run_train(build_config(config, **again))
    runner = experiment.run_train(build_config(config, seed=3, **again))
    assert runner.cfg.load_from.endswith("iter_4.pth")
    assert runner.iter == 6 and (run / "iter_6.pth").is_file()

    drawn = tmp_path / "drawn"
    arguments = (config, run / "iter_6.pth", "--data", tiny, "--work-dir", tmp_path / "test")
    code, _, errors = _tool("test.py", *arguments, "--show-dir", drawn, cwd=elsewhere)
    assert code == 0, errors
    record = json.loads((tmp_path / "test/result.json").read_text())
    assert record["mode"] == "test" and record["checkpoint"].endswith("iter_6.pth")
    assert len(list(drawn.rglob("*.png"))) == 4


@pytest.mark.slow
def test_detection_train_and_test(tiny: Path, tmp_path: Path) -> None:
    config = tmp_path / "tiny_detection.py"
    config.write_text(DETECTION.format())
    experiment.run_train(build_config(config, data=tiny, work_dir=tmp_path / "run"))
    weights = tmp_path / "run/epoch_1.pth"
    arguments = (config, weights, "--data", tiny, "--work-dir", "run", "--show-dir", "drawn")
    code, _, errors = _tool("test.py", *arguments, cwd=tmp_path)
    assert code == 0, errors
    record = json.loads((weights.parent / "result.json").read_text())
    assert "coco/segm_mAP" in record["metrics"] and record["mode"] == "test"
    assert record["evaluator"]["ann_file"] == f"{tiny}/coco.json"
    assert len(list((tmp_path / "drawn").glob("*.png"))) == 4


@pytest.mark.slow
def test_two_processes_train_and_collect_in_the_run_folder(tiny: Path, tmp_path: Path) -> None:
    config = _semantic(tmp_path)
    launch = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d")
    launch += ("--rdzv-endpoint=localhost:0",)
    options = ("--launcher", "pytorch", "--data", tiny, "--cfg-options", *SHORT)
    code, _, errors = _tool("train.py", config, *options, cwd=tmp_path, launch=launch)
    assert code == 0, errors
    assert not (tmp_path / ".dist_test").exists()
    run = tmp_path / "work_dirs/tiny_semantic"
    assert not list(run.glob(".collect_*"))
    assert json.loads((run / "result.json").read_text())["iter"] == 4


def test_epoch_schedule_of_the_paper_runs(tiny: Path, tmp_path: Path) -> None:
    config = _semantic(tmp_path, sampler="DefaultSampler", schedule="adamw_5e-4_1000e")
    cfg = build_config(config, work_dir=tmp_path / "run", data=tiny, seed=0, max_epochs=1)
    runner = experiment.run_train(cfg)
    assert (runner.epoch, runner.iter) == (1, 2)
    assert runner.optim_wrapper.optimizer.defaults["weight_decay"] == 1e-3
    assert (tmp_path / "run/epoch_1.pth").is_file()


def test_wrong_number_of_classes_is_reported(tiny: Path, tmp_path: Path) -> None:
    config = _semantic(tmp_path, classes=5)
    cfg = build_config(config, work_dir=tmp_path / "run", data=tiny)
    message = r"^model.decode_head.num_classes is 5, but .* has 2 classes \(ground, object\). Set"
    with pytest.raises(UsageError, match=message):
        experiment.run_train(cfg)


def test_checkpoint_of_another_config_is_refused(tiny: Path, tmp_path: Path) -> None:
    config = _semantic(tmp_path)
    torch.save({"state_dict": {"backbone.x": torch.ones(1)}}, tmp_path / "other.pth")
    cfg = build_config(
        config, work_dir=tmp_path / "run", data=tiny, checkpoint=tmp_path / "other.pth"
    )
    with pytest.raises(UsageError, match=r"other\.pth.*do not fit.*missing.*1 unexpected"):
        experiment.run_test(cfg)


def test_training_refuses_a_start_that_does_not_fit(tiny: Path, tmp_path: Path) -> None:
    config, file = _semantic(tmp_path), tmp_path / "other.pth"
    torch.save({"state_dict": {"backbone.x": torch.ones(1)}}, file)
    options = {"work_dir": tmp_path / "run", "data": tiny, "max_iters": 1}
    with pytest.raises(UsageError, match=r"not one weight fits EncoderDecoder.*1 unexpected"):
        experiment.run_train(build_config(config, checkpoint=file, **options))
    runner = experiment.run_train(build_config(config, **options))
    weights = runner.model.state_dict()
    weights.pop("backbone.conv1.weight")
    torch.save({"state_dict": weights}, file)
    with pytest.raises(UsageError, match=r"do not fit.*1 missing \(backbone.conv1.weight\)"):
        experiment.run_train(build_config(config, resume=str(file), **options))
    experiment.run_train(build_config(config, checkpoint=file, **options))
    logs = "".join(log.read_text() for log in (tmp_path / "run").rglob("*.log"))
    assert f"{len(weights)} of {len(weights) + 1} weights match; 1 missing (backbone" in logs


def test_errors_of_data_sets_are_reported_and_errors_of_a_training_pass(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _semantic(tmp_path)
    options = {"train_dataloader.dataset.data_prefix.img_path": "images_of_nobody"}
    options["train_dataloader.dataset.type"] = "attnseg.SemanticDataset"
    cfg = build_config(config, data=tiny, work_dir=tmp_path / "run", cfg_options=options)
    with pytest.raises(UsageError, match="images_of_nobody' does not exist") as error:
        experiment.run_train(cfg)
    assert isinstance(error.value.__cause__, FileNotFoundError)

    def fail(*args: object, **kwargs: object) -> None:
        raise ValueError("a bug")

    from mmengine.runner import Runner

    monkeypatch.setattr(Runner, "train", fail)
    with pytest.raises(ValueError, match="a bug"):
        experiment.run_train(build_config(config, data=tiny, work_dir=tmp_path / "run"))


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("train.py", ("{config}",), "data folder 'data/tiny/' not found"),
        ("test.py", ("{config}", "gone.pth"), "checkpoint 'gone.pth' not found"),
    ],
)
def test_missing_files_give_one_line_and_status_2(
    tmp_path: Path, tool: str, arguments: tuple[str, ...], message: str
) -> None:
    config = _semantic(tmp_path)
    filled = [argument.format(config=config) for argument in arguments]
    code, _, errors = _tool(tool, *filled, cwd=tmp_path)
    lines = [line for line in errors.splitlines() if line.startswith("error:")]
    assert code == 2 and len(lines) == 1 and message in lines[0]
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config": "no_such_config"}, "config 'no_such_config' not found"),
        ({"data": "nowhere"}, r"data folder 'nowhere/' not found.*--data DIR"),
        ({"resume": "gone.pth"}, r"checkpoint 'gone.pth' not found.*Train first"),
        ({"checkpoint": "runs/gone.pth"}, r"checkpoint 'runs/gone.pth'.*runs has iter_5.pth"),
    ],
)
def test_missing_files_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/iter_5.pth").touch()
    with pytest.raises(UsageError, match=message):
        experiment.run_train(build_config(**{"config": _semantic(tmp_path), **options}))


def test_usage_errors_end_the_command_with_status_2(capsys: pytest.CaptureFixture) -> None:
    def command() -> None:
        raise UsageError("this is wrong.")

    with pytest.raises(SystemExit) as stop:
        experiment.run_command(command)
    assert stop.value.code == 2 and capsys.readouterr().err == "error: this is wrong.\n"


def test_the_traceback_can_be_had(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command() -> None:
        with experiment.input_errors():
            raise FileNotFoundError("no file\n  there")

    for value, shown in (("0", False), ("1", True)):
        monkeypatch.setenv("ATTNSEG_TRACEBACK", value)
        with pytest.raises(SystemExit):
            experiment.run_command(command)
        text = capsys.readouterr().err
        assert text.endswith("error: no file there\n") and ("Traceback" in text) is shown


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("make_demo_set.py", ("full",)),
        ("dataset_converters/ade20k.py", ("gone",)),
        ("dataset_converters/cityscapes.py", ("gone",)),
        ("dataset_converters/panoptic_from_instances.py", ("gone.json", "out.json", "out")),
    ],
)
def test_converters_end_with_one_line_too(
    tmp_path: Path, tool: str, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").touch()
    code, _, errors = _tool(tool, *arguments, cwd=tmp_path)
    assert code == 2 and "error: " in errors and "Traceback" not in errors


def test_configs_are_found_by_name_and_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = (REPO / "configs/_base_/runtime/default.py").resolve()
    for name in (
        expected,
        "_base_/runtime/default.py",
        "_base_/runtime/default",
        "configs/_base_/runtime/default.py",
        "attnseg::_base_/runtime/default.py",
    ):
        assert find_config(name) == expected
    assert find_config("mmdet::solov2/solov2_r50_fpn_1x_coco.py").is_file()
    with pytest.raises(UsageError, match="an installed package 'nopackage'"):
        find_config("nopackage::x/y.py")
    with pytest.raises(UsageError, match="an installed package 'foo.bar'"):
        find_config("foo.bar::x.py")


def test_detection_runtime_adds_its_hooks_to_the_shared_ones() -> None:
    cfg = build_config("_base_/runtime/detection")
    assert cfg.default_scope == "mmdet" and cfg.visualizer.type == "DetLocalVisualizer"
    kinds = [hook.type for hook in cfg.custom_hooks]
    assert kinds[-1] == "attnseg.PictureHook" and "attnseg.ResultHook" in kinds


def test_misspelt_config_proposes_near_names() -> None:
    with pytest.raises(UsageError, match=r"Did you mean .*solov2_r50_fpn_1x_coco"):
        find_config("mmdet::solov2/solov2_r50_fpn_1x_coc.py")


def test_options_of_the_command_line(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _semantic(tmp_path)
    cfg = build_config(config, cfg_options={"data_root": str(tiny), "log_level": "ERROR"}, seed=5)
    assert cfg.train_dataloader.dataset.data_root == f"{tiny}/"
    assert (cfg.log_level, cfg.randomness.seed) == ("ERROR", 5)
    assert cfg.randomness.deterministic is False
    assert cfg.work_dir == "work_dirs/tiny_semantic"
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    for launcher, message in (
        ("pytorch", "torchrun"),
        ("slurm", "srun"),
        ("mpi", "expected one of"),
    ):
        with pytest.raises(UsageError, match=message):
            build_config(config, launcher=launcher)


def test_auto_resume_keeps_the_start_weights_for_a_fresh_start(tmp_path: Path) -> None:
    config, weights, run = _semantic(tmp_path), tmp_path / "w.pth", tmp_path / "run"
    weights.touch()
    cfg = build_config(config, resume="auto", work_dir=run, checkpoint=weights)
    assert (cfg.resume, cfg.load_from) == ("auto", str(weights))
    options = {"load_from": "from_the_config.pth"}
    cfg = build_config(config, resume="auto", work_dir=run, cfg_options=options)
    assert (cfg.resume, cfg.load_from) == ("auto", "from_the_config.pth")
    cfg = build_config(config, work_dir=run, cfg_options={"resume": True})
    assert (cfg.resume, cfg.load_from) == ("auto", None)


def test_amp_needs_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmengine import device

    config = _semantic(tmp_path)
    monkeypatch.setattr(device, "is_cuda_available", lambda: False)
    with pytest.raises(UsageError, match="needs a GPU"):
        experiment.run_train(build_config(config, amp=True))
    monkeypatch.setattr(device, "is_cuda_available", lambda: True)
    wrapper = build_config(config, amp=True).optim_wrapper
    assert (wrapper.type, wrapper.loss_scale) == ("AmpOptimWrapper", "dynamic")


@pytest.mark.parametrize("form", ["IoU", "[IoU]", "dict(metrics=IoU)", "dict(metrics=[IoU])"])
def test_predictions_are_saved_beside_evaluators_of_any_form(tmp_path: Path, form: str) -> None:
    config = _semantic(tmp_path)
    value = form.replace("IoU", "dict(type='mmseg.IoUMetric')")
    config.write_text(f"{config.read_text()}\ntest_evaluator = {value}\n")
    cfg = build_config(config, save_predictions=tmp_path / "saved")
    metrics = Runner.build_evaluator(None, cfg.test_evaluator).metrics
    assert [type(metric).__name__ for metric in metrics] == ["IoUMetric", "PredictionWriter"]
