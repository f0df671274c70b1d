"""What JAX and XLA are told where NVIDIA's plugin is installed, and that nobody's own settings are lost."""

import importlib.util
import subprocess
import sys

import pytest

from jaxprune.cli import gpu_settings

NO_TRITON = "--xla_gpu_enable_triton_gemm=false"
PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"


@pytest.mark.parametrize(
    ("plugin", "environment", "wanted"),
    [
        (None, {}, {}),
        ("jax_rocm7_plugin", {}, {}),
        ("jax_cuda13_plugin", {}, {"XLA_FLAGS": NO_TRITON, PREALLOCATE: "false"}),
        ("jax_cuda12_plugin", {"XLA_FLAGS": "--xla_a=1", PREALLOCATE: "true"}, {"XLA_FLAGS": f"--xla_a=1 {NO_TRITON}"}),
        ("jax_cuda13_plugin", {"XLA_FLAGS": "--xla_gpu_enable_triton_gemm=true"}, {PREALLOCATE: "false"}),
    ],
)
def test_settings_are_added_for_nvidia_alone(monkeypatch, plugin, environment, wanted):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: plugin if name == plugin else None)
    assert gpu_settings.with_defaults(environment) == wanted


def test_xla_knows_them(monkeypatch):
    """Of a flag that it does not know XLA makes the end of the process."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    flags = gpu_settings.with_defaults({})["XLA_FLAGS"]
    script = f"import os; os.environ['XLA_FLAGS'] = {flags!r}; import jax; print(jax.numpy.ones(3).sum())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "3.0", done.stderr
