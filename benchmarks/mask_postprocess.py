"""Suppression and restoration of masks against the plain way: pairs of full-size masks in Python.

100 masks at 512x512, every second one a near duplicate of the one before; small cells, and large
masks as of a network that has just begun to learn. Measured are

- the suppression alone, on masks at full size: ours against a loop over pairs, which must keep the
  same masks. Its ratio for small cells answers the claim of a suppression that is at least 20x
  faster; large masks that overlap are a harder case with a figure of its own;
- everything after the network, from the logits at 1/4 to masks and boxes: suppression at 1/4 and
  restoration of the kept masks within their boxes, against enlarging all masks and the loop. The
  same instances must remain, with masks that differ in few pixels (rounding at the threshold).

Each alternative runs in its own process; the alternatives take turns in each round, and figures
are medians over all rounds.
"""

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from common import Measurement, measure, print_table, report
from torch import Tensor
from torch.nn.functional import interpolate

from attnseg.compat import setup_env

setup_env()

from attnseg.iaunet.mask_nms import mask_nms
from attnseg.iaunet.postprocess import PostprocessConfig, select, to_instances

CLAIM = 20
# Share of the foreground in which our masks may differ: logits that are 0 but for rounding.
MAX_DIFFERENT = 1e-4
# Semi-axes of the masks as shares of the image's side.
RADII = {"cells": (0.02, 0.055), "large": (0.15, 0.4)}
CONFIG = PostprocessConfig()


def make_queries(count: int, size: int, kind: str) -> tuple[Tensor, Tensor]:
    """Class logits (n, 2) and mask logits (n, size / 4, size / 4) of ellipses with wavy borders."""
    generator = torch.Generator().manual_seed(0)
    low, high = RADII[kind]
    cells = torch.rand(-(-count // 2), 6, generator=generator)
    cells = cells.repeat_interleave(2, dim=0)[:count]
    # Duplicates differ by 2 % in place and size.
    cells[1::2] += 0.02 * high * torch.randn(cells[1::2].shape, generator=generator)
    axis = (torch.arange(size // 4) + 0.5) / (size // 4)
    y, x = axis[None, :, None] - cells[:, 0, None, None], axis - cells[:, 1, None, None]
    a, b, turn, phase = (cells[:, i, None, None] for i in range(2, 6))
    angle = torch.atan2(y, x)
    wave = 1 + 0.12 * torch.sin(3 * angle + 6.28 * phase)
    u, v = y * torch.cos(3 * turn) + x * torch.sin(3 * turn), x * torch.cos(3 * turn)
    v = v - y * torch.sin(3 * turn)
    radii = [low + (high - low) * share for share in (a, b)]
    masks = 8 * (wave - ((u / radii[0]) ** 2 + (v / radii[1]) ** 2).sqrt())
    return torch.randn(count, 2, generator=generator), masks


def pairwise_nms(masks: Tensor, scores: Tensor, labels: Tensor, iou_thr: float) -> list[int]:
    """The loop: each candidate against each kept mask of its class."""
    kept: list[int] = []
    for i in scores.sort(descending=True, stable=True).indices.tolist():
        for j in kept:
            if labels[i] == labels[j]:
                union = (masks[i] | masks[j]).sum()
                if union and (masks[i] & masks[j]).sum() / union > iou_thr:
                    break
        else:
            kept.append(i)
    return kept


def enlarge(mask_logits: Tensor, size: int) -> Tensor:
    """All masks (n, size, size) bool at once."""
    return interpolate(mask_logits[None], (size, size), mode="bilinear")[0] > 0


def nms_inputs(count: int, size: int, kind: str) -> tuple[Tensor, Tensor, Tensor, float]:
    """Full-size masks with scores and one label."""
    class_logits, mask_logits = make_queries(count, size, kind)
    scores = class_logits.softmax(1)[:, 0]
    return enlarge(mask_logits, size), scores, torch.zeros(count).long(), CONFIG.nms_iou


def suppression(*shape: Any) -> Callable[[], list[int]]:
    """Factory of our suppression."""
    mask_nms(*nms_inputs(4, 32, "cells"))
    inputs = nms_inputs(*shape)
    return lambda: mask_nms(*inputs).tolist()


def loop(*shape: Any) -> Callable[[], list[int]]:
    """Factory of the loop."""
    inputs = nms_inputs(*shape)
    return lambda: pairwise_nms(*inputs)


def ours(*shape: Any) -> Callable[[], tuple]:
    """Factory of our post-processing: scores, boxes and masks."""

    def call(class_logits: Tensor, mask_logits: Tensor) -> tuple:
        sizes = [tuple(4 * side for side in mask_logits.shape[1:])] * 3
        found = to_instances(select(class_logits, mask_logits, CONFIG), *sizes, CONFIG)
        return found.scores.tolist(), found.bboxes.tolist(), found.masks.numpy()

    call(*make_queries(4, 32, "cells"))
    queries = make_queries(*shape)
    return lambda: call(*queries)


def plain(*shape: Any) -> Callable[[], tuple]:
    """Factory of the plain post-processing: the same scores, then everything at full size."""

    def call(class_logits: Tensor, mask_logits: Tensor) -> tuple:
        probability = mask_logits.sigmoid()
        inside = probability > CONFIG.mask_thr
        maskness = (probability * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
        scores = class_logits.softmax(1)[:, 0] * maskness
        masks = enlarge(mask_logits, 4 * mask_logits.shape[1])
        strong = (scores > CONFIG.score_thr) & masks.any(2).any(1)
        scores, masks = scores[strong], masks[strong]
        labels = torch.zeros(len(scores))
        kept = pairwise_nms(masks, scores, labels, CONFIG.nms_iou)
        boxes = []
        for mask in masks[kept]:
            y, x = mask.nonzero(as_tuple=True)
            boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
        return scores[kept].tolist(), torch.tensor(boxes).tolist(), masks[kept].numpy()

    call(*make_queries(4, 32, "cells"))
    queries = make_queries(*shape)
    return lambda: call(*queries)


def take_turns(
    factories: list[Callable], shape: tuple, threads: int, repeats: int, rounds: int
) -> list[Measurement]:
    """Measure alternatives round by round; medians over all rounds."""
    runs: list[list[Measurement]] = [[] for _ in factories]
    for number in range(rounds):
        for factory, done in zip(factories, runs, strict=True):
            print(f"round {number + 1}: {factory.__name__} {shape} ...", flush=True)
            done.append(measure(factory, *shape, threads=threads, repeats=repeats))
    joined = []
    for done in runs:
        seconds = [second for run in done for second in run.all_seconds]
        peak = statistics.median(run.peak_mib for run in done)
        joined.append(Measurement(statistics.median(seconds), seconds, peak, done[0].value))
    return joined


def different_pixels(kind: str, whole: tuple, naive: tuple) -> int:
    """Pixels in which two results of the whole post-processing differ.

    Raises:
        AssertionError: they are not the same instances.
    """
    scores, _, masks = whole
    expected_scores, _, expected = naive
    if masks.shape != expected.shape or not np.allclose(scores, expected_scores, atol=1e-5):
        raise AssertionError(
            f"{kind}: ours keeps {len(scores)} instances, the plain way {len(expected_scores)}, "
            "or others"
        )
    pixels = int((masks ^ expected).sum())
    if pixels > MAX_DIFFERENT * expected.sum():
        raise AssertionError(f"{kind}: {pixels} of {expected.sum()} pixels of masks differ")
    return pixels


def compare(kind: str, args: argparse.Namespace) -> dict[str, Any]:
    """Both comparisons for one kind of masks."""
    shape = (args.masks, args.size, kind)
    options = (args.threads, args.repeats, args.rounds)
    fast, slow = take_turns([suppression, loop], shape, *options)
    if fast.value != slow.value:
        raise AssertionError(f"{kind}: ours keeps {fast.value}, the loop {slow.value}")
    whole, naive = take_turns([ours, plain], shape, *options)
    rows = [("suppression", fast), ("loop", slow), ("ours", whole), ("plain", naive)]
    print_table(
        ["masks", "alternative", "seconds", "peak MiB"],
        [[kind, name, m.seconds, m.peak_mib] for name, m in rows],
    )
    pixels = different_pixels(kind, whole.value, naive.value)
    return {
        "kept": len(fast.value),
        "nms_same_kept": True,
        "nms_seconds_ours": fast.seconds,
        "nms_seconds_loop": slow.seconds,
        "nms_time_ratio": slow.seconds / fast.seconds,
        "nms_peak_mib_ours": fast.peak_mib,
        "nms_peak_mib_loop": slow.peak_mib,
        "whole_kept": len(whole.value[0]),
        "whole_different_pixels": pixels,
        "whole_foreground_pixels": int(naive.value[2].sum()),
        "whole_seconds_ours": whole.seconds,
        "whole_seconds_plain": naive.seconds,
        "whole_time_ratio": naive.seconds / whole.seconds,
        "whole_peak_mib_ours": whole.peak_mib,
        "whole_peak_mib_plain": naive.peak_mib,
        "whole_memory_ratio": naive.peak_mib / max(whole.peak_mib, 1e-3),
    }


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="pixels of a side; a multiple of 4")
    parser.add_argument("--masks", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5, help="timed calls a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=RADII, default=list(RADII))
    args = parser.parse_args()
    figures = {kind: compare(kind, args) for kind in args.kinds}
    for kind, found in figures.items():
        answer = f"claim of {CLAIM}x" if kind == "cells" else "harder than the claim"
        print(
            f"suppression of {args.masks} masks, {kind}: {found['nms_time_ratio']:.1f}x ({answer})"
        )
        print(f"whole post-processing, {kind}: {found['whole_time_ratio']:.1f}x")
    setting = f"{args.masks} masks, {args.size}x{args.size}, half of them near duplicates"
    full = (args.size, args.masks, args.kinds) == (512, 100, list(RADII))
    name = "mask_postprocess" if full else "mask_postprocess_custom"
    report(name, {"setting": setting, **figures}, args.threads)


if __name__ == "__main__":
    main()
