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


def _prune(method, pattern, kernel, inputs):
    statistic = None
    if method.statistic is not None:
        weights_B = jnp.ones(len(inputs), jnp.float32)
        statistic = method.statistic.zeros(inputs.shape[-1], 1).update(inputs, weights_B, jnp.int32(0))
    return method.prune(kernel, method.prepare(statistic), pattern)


# Compiling is most of these tests' time; this switch trades the speed of the program for that of the compiler.
prune = jax.jit(_prune, static_argnums=(0, 1), compiler_options={"xla_backend_optimization_level": 0})


def output_error(kernel, pruned, inputs):
    """Returns the mean squared change of the outputs, in float64."""
    change = np.asarray(pruned, np.float64) - kernel.astype(np.float64)
    return np.mean(np.square(inputs.astype(np.float64) @ change))
