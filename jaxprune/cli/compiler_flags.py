"""What XLA is told before JAX is imported, on machines with a GPU."""

import importlib.util
from collections.abc import Mapping

_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")
_NO_TRITON = "--xla_gpu_enable_triton_gemm=false"


def with_defaults(environment: Mapping[str, str]) -> str | None:
    """Returns the ``XLA_FLAGS`` to set, where NVIDIA's plugin is installed; None where nothing is to be changed.

    For each product XLA compiles and times many kernels of Triton's beside those of cuBLAS: half a minute for
    SparseGPT's on an H200, where cuBLAS alone reaches the rate of large products. Who sets that flag has the last word.
    """
    flags = environment.get("XLA_FLAGS", "")
    if _NO_TRITON.partition("=")[0] in flags or not any(importlib.util.find_spec(plugin) for plugin in _PLUGINS):
        return None
    return f"{flags} {_NO_TRITON}".strip()
