"""What JAX and XLA are told before they are imported, on machines with a GPU of NVIDIA's."""

import importlib.util
from collections.abc import Mapping

_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")

# For each product XLA compiles and times many kernels of Triton's beside those of cuBLAS: half a minute for
# SparseGPT's on an H200, where cuBLAS alone reaches the rate of large products.
_NO_TRITON = "--xla_gpu_enable_triton_gemm=false"

# JAX takes three quarters of a GPU's memory before the first array: up to 3.6 seconds on an H200, for a command that
# needs a block at a time.
_PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"


def with_defaults(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables to set, where NVIDIA's plugin is installed; who has set one has the last word."""
    if not any(importlib.util.find_spec(plugin) for plugin in _PLUGINS):
        return {}
    chosen: dict[str, str] = {}
    flags = environment.get("XLA_FLAGS", "")
    if _NO_TRITON.partition("=")[0] not in flags:
        chosen["XLA_FLAGS"] = f"{flags} {_NO_TRITON}".strip()
    if _PREALLOCATE not in environment:
        chosen[_PREALLOCATE] = "false"
    return chosen
