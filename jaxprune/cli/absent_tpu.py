"""The compiler for TPUs, which plans need, on a machine without one.

JAX would take it for a TPU, look for the rest of it, and log at length that there is none, at the start of every
command.
"""

import importlib.util
import os
from pathlib import Path

_GOOGLE = "0x1ae0"
_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm7_plugin")


def is_looked_for(devices: Path = Path("/sys/bus/pci/devices")) -> bool:
    """Returns whether JAX would look for a TPU in vain: it is installed, nothing says where to run, and none is here.

    With a plugin for GPUs beside it the choice stays with JAX.
    """
    if "JAX_PLATFORMS" in os.environ or importlib.util.find_spec("libtpu") is None:
        return False
    if any(importlib.util.find_spec(plugin) for plugin in _PLUGINS):
        return False
    return not any(file.read_text().strip() == _GOOGLE for file in devices.glob("*/vendor"))
