"""Where JAX keeps what it has compiled, so that the next command need not compile it again."""

import hashlib
import importlib.metadata
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

from jaxprune.downloads import cache_folder

# Of all programs together, in bytes; those that were not used for longest go first.
_MOST = 10**9
_PROCESSOR = Path("/proc/cpuinfo")


def with_defaults(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables to set before JAX is imported; none where somebody has chosen a folder, or there is none.

    Compiling takes seconds on a CPU and tens of them on accelerators, in every command anew. Who wants none kept sets
    ``JAX_ENABLE_COMPILATION_CACHE=false``.
    """
    if "JAX_COMPILATION_CACHE_DIR" in environment:
        return {}
    try:
        folder = cache_folder() / "compiled" / _of_this_machine()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # a user without a home, as in some containers
        return {}
    if not os.access(folder, os.W_OK):
        return {}
    chosen = {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_COMPILATION_CACHE_MAX_SIZE": str(_MOST),
        # JAX leaves out what took less than a second to compile: on a CPU nearly everything.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return {name: value for name, value in chosen.items() if name not in environment}


def _of_this_machine() -> str:
    """Returns a name that no machine with other instructions shares: programs for CPUs are made of them.

    JAX tells accelerators apart by itself, and versions as well; with these in the name, old ones can be removed.
    """
    version = importlib.metadata.version("jaxlib")
    try:
        found = re.search(r"^(?:flags|Features)\s*:.*$", _PROCESSOR.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    instructions = found[0] if found else platform.processor()
    digest = hashlib.sha256(f"{platform.machine()} {instructions}".encode()).hexdigest()
    return f"jaxlib-{version}-{digest[:12]}"
