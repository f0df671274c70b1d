"""How much memory this process and its devices had at their peak, since a moment where that can be asked."""

import contextlib
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
# What the kernel takes for: forget the highest resident size there was.
_FORGET_PEAK = "5"


class Peak(NamedTuple):
    """Resident memory, with what it is the peak of: the time since ``forget_peak``, or all of the process."""

    bytes: int
    of: Literal["point", "process"]


def forget_peak() -> bool:
    """Begins anew; returns whether the system can do that (Linux can)."""
    try:
        _CLEAR.write_text(_FORGET_PEAK)
    except OSError:
        return False
    return True


def read_peak(*, is_forgotten: bool) -> Peak:
    """Returns the peak.

    Args:
      is_forgotten: what ``forget_peak`` returned.
    """
    with contextlib.suppress(OSError, StopIteration, ValueError):
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return Peak(int(line.split()[1]) * 1024, "point" if is_forgotten else "process")
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Peak(size if sys.platform == "darwin" else size * 1024, "process")


def peak_device_bytes(devices: Sequence[Any]) -> int | None:
    """Returns the most that arrays have taken on any of the devices since the process began; None on CPUs.

    Of a CPU it is the process's own memory. A GPU's allocator holds more than that: three quarters of the memory,
    unless told otherwise.
    """
    told = [(device.memory_stats() or {}).get("peak_bytes_in_use") for device in devices]
    known = [int(size) for size in told if size is not None]
    return max(known) if known else None
