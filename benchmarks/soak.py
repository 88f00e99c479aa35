"""Does memory stay flat under load?  2,000 training steps and 2,000 images, sampled as they run.

On the generated demo set with small images. Each case runs in a process of its own: trainings of
MaskAttn-UNet (panoptic) and small IAUNet with data workers, logging, validation and checkpoints;
then inference with ``DetInferencer``, ``SegInferencer`` and ``MaskRefiner``, one image a call, with
``DetInferencer`` on all images in one call, and the test that ``tools/test.py`` runs. Counted are
resident pages of the process and of its data workers, open files and threads. "start" is behind
the warm-up, the first fifth; the slope is that of a line through all samples from there on. What
the C library has handed out (heap) tells a leak from free pages that stay resident.

Two cases grow by design, by what they keep of each image: one call of an inferencer returns all
its predictions, and a test collects the statistics of each image for its metrics. Linux only.
"""

import argparse
import ctypes
import gc
import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import print_table, report

from attnseg.compat import setup_env

PANOPTIC = "maskattn-unet_small_1xb8-400i_demo-panoptic-128x128"
SEMANTIC = "maskattn-unet_small_1xb8-400i_demo-semantic-128x128"
IAUNET = "iaunet_small_1xb4-1200i_dsb2018-instance-128x128"
REFINE = "refine-best_cells_1xb16-800i_dsb2018-refinement-96x96"
SIDE = 64
SAMPLES = 40
COLUMNS = ("resident_mib", "heap_mib", "workers_mib", "files", "threads")


class _Heap(ctypes.Structure):
    """``struct mallinfo2`` of glibc from 2.33 on."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks")
        + ("uordblks", "fordblks", "keepcost")
    ]


def sample() -> list[float]:
    """One value for each of ``COLUMNS``."""
    from attnseg.engine.memory import MIB, resident

    children = [_status(child.pid, "VmRSS") for child in multiprocessing.active_children()]
    files = len(os.listdir("/proc/self/fd"))
    threads = _status(os.getpid(), "Threads")
    return [resident() / MIB, _heap() / MIB, sum(children) / 1024, files, threads]


def _heap() -> int:
    """Bytes in blocks that are in use; 0 where the C library does not tell."""
    told = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if told is None:
        return 0
    told.restype = _Heap
    gc.collect()
    found = told()
    return found.uordblks + found.hblkhd


def _status(pid: int | None, key: str) -> int:
    """A number of ``/proc/PID/status``; 0 where the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), 0)


def _hook(every: int, rows: list[list[float]]) -> Any:
    """A hook of mmengine that samples behind steps of a training or images of a test."""
    from mmengine.hooks import Hook

    class Sampler(Hook):
        priority = "LOWEST"

        def after_train_iter(self, runner: Any, batch_idx: int, *_: Any, **__: Any) -> None:
            if self.every_n_train_iters(runner, every):
                rows.append([runner.iter + 1, *sample()])

        def after_test_iter(self, runner: Any, batch_idx: int, *_: Any, **__: Any) -> None:
            if (batch_idx + 1) % every == 0:
                rows.append([batch_idx + 1, *sample()])

    return Sampler()


def _config(leaf: str, root: str, folder: str, **options: Any) -> Any:
    from attnseg.apis.experiment import build_config

    settings = {
        "train_dataloader.batch_size": 2,
        "train_dataloader.num_workers": 2,
        "train_dataloader.persistent_workers": True,
    }
    if leaf != REFINE:
        settings["train_dataloader.dataset.pipeline.3.size"] = (SIDE, SIDE)
        scale = "val_dataloader.dataset.pipeline.1"
        settings[scale] = {"type": "Resize", "scale": (SIDE, SIDE), "keep_ratio": False}
        settings[scale.replace("val", "test", 1)] = settings[scale]
    if leaf == IAUNET:
        settings |= {"model.head.num_classes": 3, "model.test_cfg.windows.size": (SIDE, SIDE)}
    cfg = build_config(leaf, work_dir=folder, data=root, cfg_options=settings, **options)
    if leaf == REFINE:
        for split in ("train", "val"):
            cfg[f"{split}_dataloader"].dataset.min_area = 16
    return cfg


def train(leaf: str, root: str, folder: str, steps: int) -> list[list[float]]:
    """Train with validation and a checkpoint at each tenth of the steps; rows of samples."""
    from mmengine.runner import Runner

    from attnseg.apis.experiment import run_train

    cfg = _config(leaf, root, folder, max_iters=steps)
    cfg.train_cfg.val_interval = cfg.default_hooks.checkpoint.interval = max(1, steps // 10)
    cfg.default_hooks.logger.interval = max(1, steps // 100)
    return _sampled(Runner, lambda: run_train(cfg), steps)


def test(leaf: str, root: str, folder: str, images: int) -> list[list[float]]:
    """Evaluate as ``tools/test.py`` does; rows of samples."""
    from mmengine.runner import Runner

    from attnseg.apis.experiment import run_test

    checkpoint = next(Path(folder).glob("iter_*.pth"))
    cfg = _config(leaf, root, f"{folder}-test", checkpoint=checkpoint)
    return _sampled(Runner, lambda: run_test(cfg), images)


def _sampled(runner: Any, run: Callable[[], Any], length: int) -> list[list[float]]:
    """Run with a sampling hook beside those of the config."""
    rows: list[list[float]] = []
    register = runner.register_hooks

    def with_sampler(self: Any, *args: Any, **kwargs: Any) -> None:
        register(self, *args, **kwargs)
        self.register_hook(_hook(max(1, length // SAMPLES), rows))

    runner.register_hooks = with_sampler
    run()
    return rows


def infer(kind: str, leaf: str, root: str, folder: str, images: int) -> list[list[float]]:
    """Call an inferencer or a refiner on file after file; rows of samples."""
    import cv2

    from attnseg.apis.inferencer import DetInferencer, SegInferencer
    from attnseg.apis.refiner import MaskRefiner

    files = sorted(Path(root, "images/val").iterdir())[:images]
    weights = str(next(Path(folder).glob("iter_*.pth")))
    if kind == "refine":
        refiner = MaskRefiner(leaf, weights)

        def call(file: Path) -> None:
            things = cv2.imread(str(Path(root, "semantic/val", file.name)), -1) < 3
            refiner(file, things.astype(np.uint8))
    else:
        path = str(Path(folder) / f"{leaf}.py")
        _config(leaf, root, folder).dump(path)
        inferencer = (SegInferencer if kind == "seg" else DetInferencer)(path, weights)

        def call(file: Path) -> None:
            inferencer(str(file), **_QUIET[kind])

    every, rows = max(1, len(files) // SAMPLES), []
    if kind == "det-list":
        # Its batches show how the list of predictions grows.
        forward = inferencer.forward
        done = iter(range(1, len(files) + 1))

        def counted(*args: Any, **kwargs: Any) -> Any:
            found = forward(*args, **kwargs)
            if (number := next(done)) % every == 0:
                rows.append([number, *sample()])
            return found

        inferencer.forward = counted
        inferencer([str(file) for file in files], **_QUIET[kind])
        return rows
    for number, file in enumerate(files, 1):
        call(file)
        if number % every == 0:
            rows.append([number, *sample()])
    return rows


_QUIET: dict[str, dict[str, Any]] = {
    "det": {"no_save_pred": True, "no_save_vis": True},
    "det-list": {"no_save_pred": True, "no_save_vis": True},
    "seg": {},
}


def summary(rows: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Start, end and slope of each column of the samples behind the first fifth."""
    table = np.array(rows, float)
    warm = table[table[:, 0] >= table[-1, 0] / 5]
    few = max(1, len(warm) // 8)
    found: dict[str, Any] = {"steps": int(table[-1, 0])}
    for name, column in zip(COLUMNS, warm[:, 1:].T, strict=True):
        slope = np.polyfit(warm[:, 0], column, 1)[0] if len(warm) > 1 else 0.0
        found[name] = {
            "start": float(np.median(column[:few])),
            "end": float(np.median(column[-few:])),
            "per_1000": float(slope * 1000),
        }
    found["samples"] = [[int(row[0]), *(round(value, 1) for value in row[1:])] for row in rows]
    return found


def _alone(function: Callable[..., Any], *args: Any) -> Any:
    """Call it in a fresh process with one thread."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, _one_thread) as pool:
        return pool.submit(function, *args).result()


def _one_thread() -> None:
    torch.set_num_threads(1)
    setup_env()


def cases(
    folder: Path, steps: int, images: int, chosen: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run the chosen cases one after another."""
    from attnseg.datasets.demo import generate_demo_set

    root = str(generate_demo_set(folder / "small", num_train=64, num_val=8, size=(SIDE, SIDE)))
    many = str(generate_demo_set(folder / "many", num_train=1, num_val=images, size=(SIDE, SIDE)))
    places = {leaf: str(folder / leaf) for leaf in (PANOPTIC, SEMANTIC, IAUNET, REFINE)}
    for name, leaf in (("train maskattn_unet", PANOPTIC), ("train iaunet", IAUNET)):
        if name in chosen:
            yield name, summary(_alone(train, leaf, root, places[leaf], steps))
    inference = {
        "DetInferencer": (infer, "det", PANOPTIC),
        "SegInferencer": (infer, "seg", SEMANTIC),
        "MaskRefiner": (infer, "refine", REFINE),
        "DetInferencer, one call": (infer, "det-list", PANOPTIC),
        "tools/test.py": (test, PANOPTIC),
    }
    for name, (function, *kind, leaf) in inference.items():
        if name in chosen:
            if not list(Path(places[leaf]).glob("iter_*.pth")):
                _alone(train, leaf, root, places[leaf], 2)
            yield name, summary(_alone(function, *kind, leaf, many, places[leaf], images))


CASES = ("train maskattn_unet", "train iaunet", "DetInferencer", "SegInferencer", "MaskRefiner")
CASES += ("DetInferencer, one call", "tools/test.py")


def main() -> None:
    """Run, print, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    args = parser.parse_args()
    results, rows = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for name, found in cases(Path(folder), args.steps, args.images, args.cases):
            results[name] = found
            values = [f"{found[c]['start']:.0f} -> {found[c]['end']:.0f}" for c in COLUMNS]
            rows.append(
                [name, found["steps"], *values, *(found[c]["per_1000"] for c in COLUMNS[:2])]
            )
            print(json.dumps({name: {c: found[c] for c in COLUMNS}}), flush=True)
    print_table(["case", "steps", *COLUMNS, "MiB/1000", "heap MiB/1000"], rows)
    full = all(getattr(args, key) == parser.get_default(key) for key in vars(args))
    payload = {"steps": args.steps, "images": args.images, "side": SIDE, "cases": results}
    report("soak" if full else "soak_custom", payload, threads=1)


if __name__ == "__main__":
    main()
