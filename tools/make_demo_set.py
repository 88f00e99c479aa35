"""Generate the demo set: ``python tools/make_demo_set.py data/demo``."""

import argparse

from attnseg.apis.command import input_errors, run_command
from attnseg.compat import setup_env


def main() -> None:
    """Parse the command line and write the set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", nargs="?", default="data/demo", help="folder to make")
    parser.add_argument("--num-train", type=int, default=200)
    parser.add_argument("--num-val", type=int, default=40)
    parser.add_argument(
        "--size", type=int, nargs=2, default=(128, 128), metavar=("HEIGHT", "WIDTH")
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    setup_env()
    from attnseg.datasets.demo import generate_demo_set

    with input_errors():
        root = generate_demo_set(
            args.root, args.num_train, args.num_val, tuple(args.size), args.seed
        )
    print(f"demo set: {root} ({args.num_train} train, {args.num_val} val images)")


if __name__ == "__main__":
    run_command(main)
