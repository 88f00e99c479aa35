#!/usr/bin/env python
"""ONNX of a model's raw outputs: `python tools/export.py CONFIG CHECKPOINT --out model.onnx`.

The file is compared with torch in onnxruntime before it is written. See docs/publish.md.
"""

import argparse

from attnseg.compat import setup_env

setup_env()

from attnseg.apis.command import run_command
from attnseg.apis.config_errors import OptionAction
from attnseg.apis.export import export_onnx


def main() -> None:
    """Export as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="file, name below configs/, or package::folder/name.py")
    parser.add_argument("checkpoint", help="weights (.pth or .safetensors)")
    parser.add_argument("--out", required=True, help="the .onnx file")
    parser.add_argument(
        "--shape", type=int, nargs=2, metavar=("H", "W"), help="default: the test's"
    )
    parser.add_argument("--dynamic", action="store_true", help="any batch and size")
    parser.add_argument("--no-check", dest="check", action="store_false", help="skip onnxruntime")
    parser.add_argument("--cfg-options", nargs="+", action=OptionAction, help="key=value ...")
    args = parser.parse_args()
    for found in export_onnx(**vars(args)):
        size = "x".join(map(str, found.shape))
        print(f"{size}: max error {found.error:.3g} against torch, outputs up to {found.scale:.3g}")
    print(args.out)


if __name__ == "__main__":
    run_command(main)
