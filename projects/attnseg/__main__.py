"""The tools of an installed package: `python -m attnseg train CONFIG --data DIR`.

`python -m attnseg` lists them. Each is the file of its name that a checkout has as tools/NAME.py.
There is no console script: pip would list it first among the files of the package, and mim then
looks for configs and tools where it lies.
"""

import difflib
import runpy
import sys
from pathlib import Path

import attnseg


def find_tools() -> dict[str, Path]:
    """The commands by name, such as ``train`` and ``slurm/submit``."""
    package = Path(attnseg.__file__).resolve().parent
    for folder in (package.parents[1] / "tools", package / ".mim/tools"):
        if (folder / "train.py").is_file():
            return {
                path.relative_to(folder).with_suffix("").as_posix(): path
                for path in sorted(folder.rglob("*.py"))
                if not path.name.startswith("_")
            }
    raise SystemExit(f"error: {package}/.mim/tools is missing: install attnseg again.")


def main() -> None:
    """Run the tool that the first word names with the words behind it."""
    tools = find_tools()
    name = sys.argv[1].replace("-", "_") if len(sys.argv) > 1 else "--help"
    if name in tools:
        # Where a worker process begins anew, it reads this file.
        sys.argv = [str(tools[name]), *sys.argv[2:]]
        runpy.run_path(sys.argv[0], run_name="__main__")
        return
    if name not in ("__help", "_h", "--help"):
        near = difflib.get_close_matches(name, tools, n=1)
        proposal = f" Did you mean {near[0]}?" if near else ""
        print(f"error: no command '{sys.argv[1]}'.{proposal}", file=sys.stderr)
    print(f"usage: python -m attnseg COMMAND ...\ncommands: {', '.join(tools)}")
    raise SystemExit(0 if name in ("__help", "_h", "--help") else 2)


if __name__ == "__main__":
    main()
