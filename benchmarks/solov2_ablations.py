"""The eight ablation leaves of CSPAM-SOLOv2's Table 1, each trained a few steps on real images.

Each leaf as it is, but for the size: images of 144x256, few cells and thin layers in the head (the
``small`` of ``configs/cspam_solov2/base_solov2.py``), batches of 4, AdamW. All see the same few
batches in the same order, again and again. Reported are the mean losses of the first and of the
last time through them: they have to fall. Losses of rows with and without the adaptive minimum loss
are different formulas and are not to be compared.
"""

import argparse
from statistics import mean
from typing import Any

import torch
from common import print_table, report

from attnseg.compat import setup_env

LEAF = "cspam_solov2/{}_8xb2-40e_coco-instance-680x1200.py"
ROWS = {
    "1: SOLOv2": "solov2_r50",
    "2: CSPAM": "cspam-solov2_r50-cspam",
    "3: TWFPN + CSMF": "cspam-solov2_r50-twfpn-csmf",
    "4: AML": "cspam-solov2_r50-aml",
    "5: CSPAM, TWFPN + CSMF": "cspam-solov2_r50-cspam-twfpn-csmf",
    "6: TWFPN + CSMF, AML": "cspam-solov2_r50-twfpn-csmf-aml",
    "7: CSPAM, AML": "cspam-solov2_r50-cspam-aml",
    "8: all": "cspam-solov2_r50",
}


def read(leaf: str, args: argparse.Namespace) -> Any:
    """The leaf at a reduced size, on the given data."""
    from attnseg.apis.experiment import build_config

    cfg = build_config(LEAF.format(leaf), data=args.data)
    cfg.model.mask_head.update(cfg.small)
    cfg.train_dataloader.dataset.pipeline[3].size = tuple(args.shape)
    cfg.train_dataloader.update(batch_size=args.batch, num_workers=0, persistent_workers=False)
    return cfg


def train(leaf: str, args: argparse.Namespace) -> list[dict[str, float]]:
    """The losses of each step."""
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner

    from attnseg.registry import MODELS

    cfg = read(leaf, args)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.train()
    loader = iter(Runner.build_dataloader(cfg.train_dataloader, seed=0))
    batches = [next(loader) for _ in range(args.batches)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    steps = []
    for _ in range(args.rounds):
        for batch in batches:
            data = model.data_preprocessor(batch, True)
            loss, logged = model.parse_losses(model(**data, mode="loss"))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 35)
            optimizer.step()
            steps.append({name: value.item() for name, value in logged.items()})
    return steps


def main() -> None:
    """Train the rows, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="data/coco_mini", help="folder in the form of COCO")
    every = list(range(1, len(ROWS) + 1))
    parser.add_argument("--rows", type=int, nargs="+", choices=every, default=every)
    parser.add_argument("--shape", type=int, nargs=2, default=[144, 256], help="height width")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=8, help="times through the batches")
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    setup_env()
    torch.set_num_threads(args.threads)
    rows = {}
    for name, leaf in (list(ROWS.items())[i - 1] for i in args.rows):
        steps = train(leaf, args)
        keys = steps[0]
        rows[name] = {
            "leaf": leaf,
            **{f"first_{key}": mean(s[key] for s in steps[: args.batches]) for key in keys},
            **{f"last_{key}": mean(s[key] for s in steps[-args.batches :]) for key in keys},
        }
        print(
            f"{name}: {rows[name]['first_loss']:.3f} -> {rows[name]['last_loss']:.3f}", flush=True
        )
    columns = ["first_loss", "last_loss", "first_loss_mask", "last_loss_mask"]
    columns += ["first_loss_cls", "last_loss_cls"]
    print_table(["row", *columns], [[n, *(r[c] for c in columns)] for n, r in rows.items()])
    given = {key: value for key, value in vars(args).items() if key not in ("data", "threads")}
    standard = given == {key: parser.get_default(key) for key in given}
    payload = {
        "arguments": given,
        "rows": rows,
        "all_fall": all(row["last_loss"] < row["first_loss"] for row in rows.values()),
    }
    report("solov2_ablations" if standard else "solov2_ablations_custom", payload, args.threads)


if __name__ == "__main__":
    main()
