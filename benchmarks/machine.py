"""Tells what machine this is, and how much of it a benchmark uses."""

import os
import platform
from pathlib import Path


def describe() -> str:
    """Returns the processor, the cores that may be used, and Python's version."""
    found = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        found = f"{names[0]} ({found})" if names else found
    cores = len(os.sched_getaffinity(0))
    return (
        f"{found}, {cores} core{'s' * (cores > 1)}, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    )


def limit_threads(count: int) -> None:
    """Keeps this process and all that it starts on the first ``count`` cores: libraries make as many threads."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
