"""Memory that the process holds: its resident pages, and the highest they were."""

import ctypes
import resource
import sys
from pathlib import Path

MIB = 2**20
_STATUS = Path("/proc/self/status")


def resident() -> int:
    """Resident bytes now; where the system tells only the peak, the peak."""
    return _from_status("VmRSS")


def peak_resident() -> int:
    """Highest number of resident bytes since the start, or since :func:`reset_peak`."""
    return _from_status("VmHWM")


def reset_peak() -> bool:
    """Forget the peak, after free pages went back to the system; False where not permitted."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _from_status(key: str) -> int:
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    # macOS counts bytes here, everyone else KiB.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
