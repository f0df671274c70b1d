"""Kernels and inputs that the tests share."""

import jax
import jax.numpy as jnp
import numpy as np


def correlated_inputs(d_in, *, dead=(), sequences=6, length=96, seed=0):
    """Returns float32 ``[sequences, length, d_in]``: neighbours alike, scales a decade apart, ``dead`` ones zero."""
    rng = np.random.default_rng(seed)
    mixing = np.eye(d_in) + 0.8 * np.eye(d_in, k=1) + 0.5 * rng.standard_normal((d_in, d_in)) / np.sqrt(d_in)
    scales = 10 ** rng.uniform(-0.5, 0.5, d_in)
    inputs = rng.standard_normal((sequences, length, d_in)) @ mixing * scales
    inputs[..., list(dead)] = 0
    return inputs.astype(np.float32)


def random_kernel(d_in, d_out, *, seed=0):
    """Returns float32 ``[d_in, d_out]``."""
    rng = np.random.default_rng(seed + 1000)
    return (rng.standard_normal((d_in, d_out)) * d_in**-0.5).astype(np.float32)


def summarise(method, inputs):
    """Returns the method's statistic of ``inputs``, two sequences at a time."""
    if method.statistic is None:
        return None
    statistic = method.statistic.zeros(inputs.shape[-1], 1)
    for start in range(0, len(inputs), 2):
        x = jnp.asarray(inputs[start : start + 2])
        statistic = statistic.update(x, jnp.ones(len(x), jnp.float32), jnp.int32(0))
    return statistic


def prune(method, pattern, kernel, inputs):
    """Prunes under ``jit`` as the block loop does; returns a PrunedKernel."""

    @jax.jit
    def run(kernel, statistic):
        return method.prune(kernel, method.prepare(statistic), pattern)

    return run(jnp.asarray(kernel), summarise(method, inputs))


def output_error(kernel, pruned, inputs):
    """Returns the mean squared change of the outputs, in float64."""
    change = np.asarray(pruned, np.float64) - kernel.astype(np.float64)
    return np.mean(np.square(inputs.astype(np.float64) @ change))
