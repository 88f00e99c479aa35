"""Target assignment and loss of SOLOv2's head: mmdet's loops against the batched form.

Two street-like images of 680x1200 pixels, padded to 704x1216, with 60 objects each; 5 levels, 80
classes, kernels of 256 channels, float32. ``full`` is the adaptive minimum loss with all its parts,
``plain`` is the same code with its parts off, whose losses equal mmdet's. Measured are targets
alone, then targets and loss, then those with the backward pass to kernels, classes and mask
features. Memory is that of a process of its own; for times all forms run in turn in one process, so
that neighbours on the machine slow them alike: seconds are the shortest, ratios the median over the
rounds.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from common import Measurement, measure, print_table, report
from solov2_scene import scene
from torch import Tensor

GRIDS = [40, 36, 24, 16, 12]
SCALES = ((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048))
CLASSES, CHANNELS = 80, 256
PLAIN = {"minimum": False, "centroid": False, "dice": "squared"}


def build(kind: str) -> torch.nn.Module:
    """Build a head of which only targets and loss are used; its layers are as small as can be."""
    from mmengine.config import ConfigDict

    from attnseg.cspam_solov2 import AdaptiveSOLOv2Head

    settings = {
        "num_classes": CLASSES,
        "in_channels": 2,
        "feat_channels": 32,
        "stacked_convs": 1,
        "strides": [8, 8, 16, 32, 32],
        "scale_ranges": SCALES,
        "num_grids": GRIDS,
        "mask_feature_head": {
            "feat_channels": 2,
            "start_level": 0,
            "end_level": 3,
            "out_channels": CHANNELS,
            "mask_stride": 4,
        },
    }
    if kind == "mmdet":
        from mmdet.models.dense_heads import SOLOV2Head

        return SOLOV2Head(**ConfigDict(settings))
    loss = {"type": "attnseg.AdaptiveMinimumLoss", **(PLAIN if kind == "plain" else {})}
    return AdaptiveSOLOv2Head(**settings, loss=loss)


def outputs(padded: tuple[int, int]) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Leaves in the place of kernels, class logits and mask features."""
    torch.manual_seed(0)
    kernels = [(0.1 * torch.randn(2, CHANNELS, g, g)).requires_grad_() for g in GRIDS]
    classes = [(torch.randn(2, CLASSES, g, g) - 4).requires_grad_() for g in GRIDS]
    features = torch.randn(2, CHANNELS, padded[0] // 4, padded[1] // 4).requires_grad_()
    return kernels, classes, features


def alternative(kind: str, task: str, objects: int, image: tuple, padded: tuple) -> Callable:
    """Factory of one call; it returns both losses, or the pairs of cell and object."""
    head = build(kind)

    def make(objects: int, image: tuple[int, int], padded: tuple[int, int]) -> Callable:
        truths = [scene(objects, image, padded, CLASSES, seed) for seed in range(2)]
        results = outputs(padded)
        leaves = [*results[0], *results[1], results[2]]

        def targets() -> int:
            if kind == "mmdet":
                map_size = results[2].shape[-2:]
                found = [head._get_targets_single(truth, map_size) for truth in truths]
                return sum(len(level) for one in found for level in one[3])
            return len(head.get_targets(truths, [{}, {}], tuple(results[2].shape[-2:])).cell)

        def loss() -> list[float]:
            with torch.set_grad_enabled(True):
                found = head.loss_by_feat(*results, truths, [{}, {}])
            if task == "forward_backward":
                for leaf in leaves:
                    leaf.grad = None
                sum(found.values()).backward()
            return [found["loss_mask"].item(), found["loss_cls"].item()]

        return targets if task == "targets" else loss

    # Loads the libraries, so that their memory is not counted.
    make(2, (64, 64), (64, 64))()
    return make(objects, image, padded)


def in_turn(kinds: tuple[str, ...], *args: object) -> Callable:
    """Factory of one round over all forms; it returns the seconds of all rounds until then."""
    calls = [alternative(kind, *args) for kind in kinds]
    rounds: list[list[float]] = []

    def run() -> list[list[float]]:
        seconds = []
        for call in calls:
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        rounds.append(seconds)
        return rounds

    return run


def compare(
    objects: int, image: tuple[int, int], padded: tuple[int, int], threads: int, repeats: int
) -> dict[str, object]:
    """Measure all and return every figure of the report; ratios are mmdet's over ours."""
    figures: dict[str, object] = {
        "setting": f"2 images of {image[0]}x{image[1]} padded to {padded[0]}x{padded[1]}, "
        f"{objects} objects each, {len(GRIDS)} levels, {CLASSES} classes, float32"
    }
    rows = []
    for task in ("targets", "forward", "forward_backward"):
        kinds = ("mmdet", "full") if task == "targets" else ("mmdet", "full", "plain")
        setting = (task, objects, image, padded)
        print(f"{task} ...", flush=True)
        # The first round loads what is loaded once.
        rounds = measure(in_turn, kinds, *setting, threads=threads, repeats=repeats).value[1:]
        found: dict[str, Measurement] = {}
        for index, kind in enumerate(kinds):
            print(f"{task}, memory of {kind} ...", flush=True)
            found[kind] = measure(alternative, kind, *setting, threads=threads, repeats=1)
            seconds = min(one[index] for one in rounds)
            rows.append([task, kind, seconds, found[kind].peak_mib])
            figures[f"{task}_seconds_{kind}"] = seconds
            figures[f"{task}_peak_mib_{kind}"] = found[kind].peak_mib
            if index:
                ratio = statistics.median(one[0] / one[index] for one in rounds)
                figures[f"{task}_time_ratio_{kind}"] = ratio
                memory = found["mmdet"].peak_mib / max(found[kind].peak_mib, 1e-3)
                figures[f"{task}_memory_ratio_{kind}"] = memory
        if task == "targets":
            figures["pairs"] = found["full"].value
            figures["pairs_mmdet"] = found["mmdet"].value
        else:
            figures[f"{task}_relative_difference_plain"] = max(
                abs(a - b) / abs(b)
                for a, b in zip(found["plain"].value, found["mmdet"].value, strict=True)
            )
    print_table(["task", "form", "seconds", "peak MiB"], rows)
    return figures


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=60, help="in each of the two images")
    parser.add_argument("--image", type=int, nargs=2, default=[680, 1200])
    parser.add_argument("--padded", type=int, nargs=2, default=[704, 1216])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    setting = (args.objects, tuple(args.image), tuple(args.padded))
    figures = compare(*setting, args.threads, args.repeats)
    full = setting == (60, (680, 1200), (704, 1216))
    report("solov2_loss" if full else "solov2_loss_custom", figures, args.threads)


if __name__ == "__main__":
    main()
