"""Atomic writing of run files: the public name of what the cellar implements.

The code lives below :mod:`attnseg.engine` because ``compat.setup_env`` also
gives it to mmengine, so that its checkpoints are written the same way.
"""

from attnseg._atomic import create_bytes, to_plain, write_bytes, write_json, write_text

__all__ = ["create_bytes", "to_plain", "write_bytes", "write_json", "write_text"]
