"""Can IAUNet fit one image of more than 300 nuclei?  Trained and scored on that image alone.

One image of dsb2018, the small model with preset ``fast`` as its leaf has it: trained on the very
windows in which the image is then tested, and whose instances are stitched. Without the data set,
use ``--data`` with any folder of the same layout.
"""

import argparse
import math
import time
from typing import Any

import torch
from common import report

from attnseg.compat import setup_env

LEAF = "iaunet/iaunet_small-fast_1xb4-1200i_dsb2018-instance-128x128.py"


def read(data: str, index: int) -> tuple[Any, Any]:
    """The network's input (3, H, W) and the sample of one training image, as tests see it."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from attnseg.apis.experiment import find_config
    from attnseg.registry import DATASETS, MODELS

    init_default_scope("mmdet")
    cfg = Config.fromfile(str(find_config(LEAF)))
    dataset = cfg.val_dataloader.dataset
    dataset.update(
        data_root=data,
        ann_file=cfg.train_dataloader.dataset.ann_file,
        data_prefix=cfg.train_dataloader.dataset.data_prefix,
        indices=[index],
    )
    item = DATASETS.build(dataset)[0]
    preprocess = MODELS.build({**cfg.model.data_preprocessor, "pad_size_divisor": 1})
    batch = preprocess({"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]})
    return batch["inputs"][0], batch["data_samples"][0]


def build(window: int) -> Any:
    """The small detector with windows of this size."""
    from mmengine.config import Config

    from attnseg.apis.experiment import find_config
    from attnseg.registry import MODELS

    model = Config.fromfile(str(find_config(LEAF))).model
    windows = model.test_cfg.windows
    windows.update(size=(window, window), overlap=window * windows.overlap // windows.size[0])
    return MODELS.build(model)


def cut(image: Any, masks: torch.Tensor, windows: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Each window (3, h, w) of the image with the masks (n, h, w) of the objects in it."""
    from attnseg.iaunet.windows import window_grid

    parts = []
    for top, left, height, width in window_grid(
        tuple(image.shape[1:]), windows.size, windows.overlap
    ):
        rows, columns = slice(top, top + height), slice(left, left + width)
        seen = masks[:, rows, columns]
        parts.append((image[:, rows, columns], seen[seen.flatten(1).any(1)]))
    return parts


def train(model: Any, image: Any, masks: torch.Tensor, args: argparse.Namespace) -> None:
    """AdamW after a warm-up, cosine to 0, gradients clipped."""
    from attnseg.iaunet.structures import MaskTruth

    parts = cut(image, masks, model.postprocess.windows)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.0)
    start = time.perf_counter()
    for step in range(args.iters):
        rate = min(1, (step + 1) / 50) * (1 + math.cos(math.pi * step / args.iters)) / 2
        for group in optimizer.param_groups:
            group["lr"] = args.lr * rate
        crops = [parts[i] for i in torch.randperm(len(parts))[: args.batch]]
        truth = [MaskTruth(torch.zeros(len(m), dtype=torch.int64), m) for _, m in crops]
        feats = model.extract_feat(torch.stack([x for x, _ in crops]))
        losses = model.head.loss_masks(model.head(feats), truth)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        if (step + 1) % 100 == 0:
            shown = {name: round(v.item(), 3) for name, v in losses.items() if "." not in name}
            print(
                f"{step + 1}/{args.iters} {time.perf_counter() - start:.0f} s {shown}", flush=True
            )


def score(model: Any, image: Any, sample: Any, masks: torch.Tensor) -> dict[str, Any]:
    """AP and F1 at the original size, with the settings of both metrics."""
    from attnseg.evaluation import CellMetric, CocoInstanceMetric

    with torch.no_grad():
        found = model.eval().predict(image[None], [sample])[0].pred_instances
    truth = {"masks": masks, "labels": torch.zeros(len(masks), dtype=torch.int64)}
    entry = {"img_id": 1, "ori_shape": tuple(sample.ori_shape), "gt_instances": truth}
    result: dict[str, Any] = {"instances": len(masks), "found": len(found)}
    for metric in (CocoInstanceMetric(max_dets=(1, 100, 1000)), CellMetric()):
        metric.dataset_meta = {"classes": ("nucleus",)}
        metric.process({}, [{**entry, "pred_instances": dict(found.items())}])
        result |= metric.evaluate(1)
        result[f"settings of {type(metric).__name__}"] = metric.settings
    return result


def main() -> None:
    """Train, score, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="data/dsb2018", help="folder of the data set")
    parser.add_argument("--image", type=int, default=16, help="position in the training set")
    parser.add_argument("--iters", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    setup_env()
    image, sample = read(args.data, args.image)
    masks = sample.gt_instances.masks.to_tensor(torch.bool, "cpu")
    torch.manual_seed(0)
    model = build(args.window).train()
    train(model, image, masks, args)
    given = {key: value for key, value in vars(args).items() if key not in ("data", "threads")}
    standard = given == {key: parser.get_default(key) for key in given}
    payload = {"arguments": given, **score(model, image, sample, masks)}
    report("overfit" if standard else "overfit_custom", payload, args.threads)


if __name__ == "__main__":
    main()
