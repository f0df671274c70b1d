"""What pruning changed, measured by running the dense and the pruned model side by side.

Asked of three things: the kernels themselves; the output of each linear given what the dense model gives to it (the
layer-wise error that pruning methods make small); and the output of each block, each model going its own way from the
embedding on, so that errors add up, or are mended.

Shapes: N sequences, B sequences in a microbatch, T tokens, D hidden size, X any width. An axis of 2 holds the squares
of the signal and of the noise. Squares are float32, added up over a width on the device and in float64 beyond it.
Of a window, sums and a median are kept for each block and no token, so what is kept is as good as nothing beside the
hidden states, which lie in files where they are too many.
"""

import functools
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Float32, Float64, Int32

from jaxprune.evaluation.distortion import Distortion, LanguageDistortion, ModelDistortion, WindowDistortion
from jaxprune.hidden_states import half_of_memory
from jaxprune.microbatches import Microbatch, make_microbatches
from jaxprune.models.causal_lm import CausalLM, block_section
from jaxprune.models.layers import precision
from jaxprune.sharding import place_params, replicate
from jaxprune.sweep import OnTokens, ReadSection, Sweep
from jaxprune.typing import Constants, Params

PASSES = 3
"""How often every token goes through a block: dense, pruned, and dense again for the inputs of its linears."""


def signal_to_noise(
    read_dense: ReadSection,
    read_pruned: ReadSection,
    model: CausalLM,
    windows: Mapping[str, Int32[np.ndarray, "_N T"]],
    *,
    mesh: Mesh,
    dtype: np.dtype,
    on_tokens: OnTokens = lambda tokens: None,
) -> ModelDistortion:
    """Runs both models over the windows, one block of each in memory at a time.

    Args:
      read_dense: gives a section's dense weights.
      read_pruned: gives a section's pruned weights.
      model: what both are.
      windows: token ids by language.
      dtype: of the hidden states.
      on_tokens: told the tokens computed, ``PASSES`` times a block.

    Raises:
      RequestError: the output of a block is not finite.
    """
    of_windows = [language for language, tokens in windows.items() for _ in tokens]
    batches = make_microbatches(np.concatenate(list(windows.values())), of_windows, mesh=mesh)
    # Two models' hidden states are kept.
    host_bytes = half_of_memory() // 2
    dense, pruned = (Sweep(model, batches, mesh=mesh, dtype=dtype, host_bytes=host_bytes) for _ in range(2))
    dense.embed(read_dense)
    pruned.embed(read_pruned)
    kernels: list[dict[str, Distortion]] = []
    linears: dict[str, dict[str, Distortion]] = {language: defaultdict(Distortion) for language in windows}
    by_window = {language: _unknown(model.num_blocks, len(tokens)) for language, tokens in windows.items()}
    for index in range(model.num_blocks):
        section = block_section(index)
        dense_params, pruned_params = (place_params(mesh, read(section)) for read in (read_dense, read_pruned))
        tensors = model.tensors(section)
        stored = {linear: tensors[f"{linear}/kernel"] for linear in model.family.reads}
        squares = _on_host(mesh, _kernel_squares(model, dense_params, pruned_params))
        kernels.append({at.name: _distortion(squares[linear], np.prod(at.shape)) for linear, at in stored.items()})
        constants = replicate(mesh, dict(model.constants(index)))
        for batch, x_BTD in dense.states():
            squares = _on_host(mesh, _linear_squares(model, dense_params, pruned_params, constants, x_BTD))
            for linear, (name, (d_out, _), _) in stored.items():
                of_tokens = _of_sequences(squares[linear], batch)
                linears[batch.language][name] += _distortion(of_tokens, of_tokens[0].size * d_out)
            on_tokens(batch.num_tokens)
        dense.advance(index, dense_params, on_tokens)
        pruned.advance(index, pruned_params, on_tokens)
        done = dict.fromkeys(windows, 0)
        for (batch, dense_BTD), (_, pruned_BTD) in zip(dense.states(), pruned.states(), strict=True):
            of_tokens = _of_sequences(_on_host(mesh, _output_squares(dense_BTD, pruned_BTD)), batch)
            start = done[batch.language]
            done[batch.language] = end = start + of_tokens.shape[1]
            kept = by_window[batch.language]
            kept.signal_LN[index, start:end], kept.noise_LN[index, start:end] = of_tokens.sum(axis=2, dtype=np.float64)
            kept.median_db_LN[index, start:end] = _median_db(of_tokens)
    languages = {
        language: LanguageDistortion(
            blocks=_blocks(by_window[language], tokens.size * model.config.hidden_size),
            by_window=by_window[language],
            median_tokens_db=_means(by_window[language].median_db_LN),
            linears=dict(linears[language]),
            tokens=tokens.size,
            windows=len(tokens),
        )
        for language, tokens in windows.items()
    }
    return ModelDistortion(tuple(kernels), languages)


@functools.partial(jax.jit, static_argnames=("model",))
def _kernel_squares(model: CausalLM, dense: Params, pruned: Params) -> dict[str, Float32[Array, "2 d_in"]]:
    def squares(linear: str) -> Float32[Array, "2 d_in"]:
        dense_IO, change_IO = _kernel_and_change(linear, dense, pruned)
        return jnp.stack([jnp.sum(jnp.square(of_IO), axis=1) for of_IO in (dense_IO, change_IO)])

    return {linear: squares(linear) for linear in model.family.reads}


@functools.partial(jax.jit, static_argnames=("model",))
def _linear_squares(
    model: CausalLM,
    dense: Params,
    pruned: Params,
    constants: Constants,
    x_BTD: Float[Array, "B T D"],
) -> dict[str, Float32[Array, "2 B T"]]:
    _, activations = model.block(dense, constants, x_BTD)

    def squares(linear: str, inputs_BTI: Float[Array, "B T d_in"]) -> Float32[Array, "2 B T"]:
        def product(kernel_IO: Float32[Array, "d_in d_out"]) -> Float32[Array, "B T d_out"]:
            dtype = inputs_BTI.dtype
            return jnp.matmul(
                inputs_BTI, kernel_IO.astype(dtype), precision=precision(dtype), preferred_element_type=jnp.float32
            )

        # The product of the change, not the change of the product, which is rounded to the product's own size.
        dense_IO, change_IO = _kernel_and_change(linear, dense, pruned)
        return _squares_of_tokens(product(dense_IO), product(change_IO))

    return {linear: squares(linear, activations[name]) for linear, name in model.family.reads.items()}


@jax.jit
def _output_squares(dense_BTD: Float[Array, "B T D"], pruned_BTD: Float[Array, "B T D"]) -> Float32[Array, "2 B T"]:
    dense_BTD, pruned_BTD = dense_BTD.astype(jnp.float32), pruned_BTD.astype(jnp.float32)
    return _squares_of_tokens(dense_BTD, dense_BTD - pruned_BTD)


def _kernel_and_change(
    linear: str, dense: Params, pruned: Params
) -> tuple[Float32[Array, "d_in d_out"], Float32[Array, "d_in d_out"]]:
    dense_IO, pruned_IO = (jnp.asarray(params[f"{linear}/kernel"], jnp.float32) for params in (dense, pruned))
    return dense_IO, dense_IO - pruned_IO


def _squares_of_tokens(
    signal_BTX: Float32[Array, "B T X"], noise_BTX: Float32[Array, "B T X"]
) -> Float32[Array, "2 B T"]:
    return jnp.stack([jnp.sum(jnp.square(x_BTX), axis=-1) for x_BTX in (signal_BTX, noise_BTX)])


def _on_host(mesh: Mesh, tree: Any) -> Any:
    """Waits for sums and returns them, also those that other processes of the mesh have."""
    return jax.tree.map(np.asarray, jax.device_put(tree, NamedSharding(mesh, PartitionSpec())))


def _of_sequences(squares: Float32[np.ndarray, "2 B T"], batch: Microbatch) -> Float32[np.ndarray, "2 n T"]:
    """Leaves out the rows that only fill the batch."""
    return squares[:, batch.weights_B > 0]


def _distortion(squares: Float32[np.ndarray, "2 ..."], count: Any) -> Distortion:
    signal, noise = (float(np.sum(of, dtype=np.float64)) for of in squares)
    return Distortion(signal, noise, int(count))


def _median_db(squares: Float32[np.ndarray, "2 n T"]) -> Float64[np.ndarray, " n"]:
    """Returns the median of each sequence's tokens."""
    signal, noise = squares.astype(np.float64)
    ratio = np.divide(signal, noise, where=noise > 0, out=np.full_like(signal, np.inf))
    with np.errstate(divide="ignore"):
        return np.median(10 * np.log10(ratio), axis=1)


def _unknown(num_blocks: int, num_windows: int) -> WindowDistortion:
    return WindowDistortion(*(np.full((num_blocks, num_windows), np.nan) for _ in range(3)))


def _blocks(by_window: WindowDistortion, count: int) -> tuple[Distortion, ...]:
    sums = zip(by_window.signal_LN.sum(axis=1), by_window.noise_LN.sum(axis=1), strict=True)
    return tuple(Distortion(float(signal), float(noise), count) for signal, noise in sums)


def _means(values_LN: Float64[np.ndarray, "L N"]) -> tuple[float, ...]:
    # A token without any signal is minus infinite, one without noise infinite, and their mean is no number.
    with np.errstate(invalid="ignore"):
        return tuple(values_LN.mean(axis=1).tolist())
