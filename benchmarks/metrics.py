"""Speed and memory of each metric against a named alternative, on the same generated images.

Each runs in its own process; values are compared. An alternative that is not installed is named
as missing, and so is a package that has to be stood in for. ``--images`` and ``--side`` make
everything smaller.
"""

import argparse
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import metric_pairs as pairs
import numpy as np
from common import measure, print_table, report


class Pair(NamedTuple):
    """One comparison.

    Attributes:
        name: Of the metric.
        setting: What is measured.
        ours: Factory.
        alternative: What it is compared with.
        theirs: Factory.
        package: What the alternative needs.
        remark: Said in the result.
    """

    name: str
    setting: str
    ours: Callable
    alternative: str
    theirs: Callable
    package: str
    remark: str = ""


PANOPTIC_REMARK = (
    "panopticapi is not installed (no package index has it): mmdet's own reading and matching ran "
    "with a stand-in for its five names"
)
PAIRS = (
    Pair("CocoInstanceMetric", "10 x images, 12 objects each, 20 classes, masks as RLE",
         pairs.ap_ours, "pycocotools COCOeval", pairs.ap_pycocotools, "pycocotools"),
    Pair("PanopticMetric", "40 regions, 20 classes", pairs.pq_ours, "mmdet CocoPanopticMetric",
         pairs.pq_mmdet, "mmdet"),
    Pair("SemanticMetric", "20 classes", pairs.miou_ours, "mmseg IoUMetric", pairs.miou_mmseg,
         "mmseg", "mmseg reports percent with two digits: differences up to 5e-5 are its rounding"),
    Pair("CellMetric, matches", "a fifth of the images, side^2 / 200 cells, 10 thresholds",
         pairs.cells_ours, "dense IoU + scipy linear_sum_assignment", pairs.cells_dense, "scipy"),
    Pair("Boundary IoU", "d = 2% of the diagonal", pairs.biou_ours, "d erosions by OpenCV",
         pairs.biou_erosion, "cv2"),
    Pair("Hausdorff", "contours", pairs.hd_ours, "scipy directed_hausdorff", pairs.hd_scipy,
         "scipy"),
    Pair("HD95", "contours", pairs.hd95_ours, "MONAI compute_hausdorff_distance",
         pairs.hd95_monai, "monai"),
    Pair("ASD", "contours", pairs.asd_ours, "MONAI compute_average_surface_distance",
         pairs.asd_monai, "monai"),
)  # fmt: skip


def compare(pair: Pair, images: int, side: int, threads: int, repeats: int) -> dict[str, Any]:
    """Measure both sides of a comparison; without the alternative, ours alone."""
    options = {"threads": threads, "repeats": repeats}
    print(f"{pair.name} ...", flush=True)
    ours = measure(pair.ours, images, side, **options)
    result: dict[str, Any] = {
        "setting": pair.setting,
        "alternative": pair.alternative,
        "seconds": ours.seconds,
        "peak_mib": ours.peak_mib,
    }
    if importlib.util.find_spec(pair.package) is None:
        return result | {"missing": f"{pair.package} is not installed"}
    print(f"{pair.alternative} ...", flush=True)
    theirs = measure(pair.theirs, images, side, **options)
    remark = pair.remark
    if pair.theirs is pairs.pq_mmdet and not pairs.has_panopticapi():
        remark = PANOPTIC_REMARK
    return result | {
        "alternative_seconds": theirs.seconds,
        "alternative_peak_mib": theirs.peak_mib,
        "time_ratio": theirs.seconds / ours.seconds,
        # Both may need less than a page more than they have.
        "memory_ratio": max(theirs.peak_mib, 0.1) / max(ours.peak_mib, 0.1),
        "max_abs_difference": float(np.abs(np.subtract(ours.value, theirs.value)).max()),
        **({"remark": remark} if remark else {}),
    }


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--side", type=int, default=512, help="pixels of a side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[p.name for p in PAIRS])
    args = parser.parse_args()
    sizes = (args.images, args.side)
    chosen = [pair for pair in PAIRS if pair.name in (args.only or [pair.name])]
    figures = {pair.name: compare(pair, *sizes, args.threads, args.repeats) for pair in chosen}
    print_table(
        ["metric", "alternative", "s", "its s", "ratio", "MiB", "its MiB", "ratio", "difference"],
        [
            [
                name,
                row["alternative"],
                row["seconds"],
                row.get("alternative_seconds", "missing"),
                row.get("time_ratio", ""),
                row["peak_mib"],
                row.get("alternative_peak_mib", ""),
                row.get("memory_ratio", ""),
                row.get("max_abs_difference", ""),
            ]
            for name, row in figures.items()
        ],
    )
    payload = {"setting": f"{args.images} images of {args.side}x{args.side}", "metrics": figures}
    report(
        "metrics" if sizes == (20, 512) and not args.only else "metrics_custom",
        payload,
        args.threads,
    )


if __name__ == "__main__":
    main()
