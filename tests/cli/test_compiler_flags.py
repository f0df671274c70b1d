"""What XLA is told where NVIDIA's plugin is installed, and that nobody's own flags are lost."""

import importlib.util
import subprocess
import sys

import pytest

from jaxprune.cli import compiler_flags


@pytest.mark.parametrize(
    ("plugin", "environment", "wanted"),
    [
        (None, {}, None),
        ("jax_rocm7_plugin", {}, None),
        ("jax_cuda13_plugin", {}, "--xla_gpu_enable_triton_gemm=false"),
        ("jax_cuda12_plugin", {"XLA_FLAGS": "--xla_a=1"}, "--xla_a=1 --xla_gpu_enable_triton_gemm=false"),
        ("jax_cuda13_plugin", {"XLA_FLAGS": "--xla_gpu_enable_triton_gemm=true"}, None),
    ],
)
def test_flags_are_added_for_nvidia_alone(monkeypatch, plugin, environment, wanted):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: plugin if name == plugin else None)
    assert compiler_flags.with_defaults(environment) == wanted


def test_xla_knows_them(monkeypatch):
    """Of a flag that it does not know XLA makes the end of the process."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    flags = compiler_flags.with_defaults({})
    script = f"import os; os.environ['XLA_FLAGS'] = {flags!r}; import jax; print(jax.numpy.ones(3).sum())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "3.0", done.stderr
