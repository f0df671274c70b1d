"""Running summaries of a linear's inputs, kept apart by group (a language, or several together).

Shapes: B sequences, T tokens, I inputs, G groups. Fields are ``Any`` besides, because JAX builds the same trees
of shapes and of shardings.
"""

from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Float32, Int, Int32

from jaxprune.pruning.devices import devices_that_share_weights

# A symmetric matrix is computed in so many strips of rows, each from its corner on: 5/8 of all products, where 1/2 is
# needed. Narrower strips than so many rows would be products too small to be worth it.
_STRIPS = 4
_STRIP_ROWS = 128

# CPUs multiply panels of columns with each other, each of which is copied out once: slices for strips would be copied
# for every product. Fewer panels are more products than are needed, more are smaller ones (benchmarks/README.md).
_PANELS = 8
_PANEL_ROWS = 192


@runtime_checkable
class Statistic(Protocol):
    """Sums over tokens, by group: state goes in and comes out."""

    @property
    def tokens_G(self) -> Int32[Array, " G"]:  # noqa: N802
        """Tokens seen."""
        ...

    @classmethod
    def zeros(cls, d_in: int, num_groups: int) -> "Statistic":
        """Returns the summary of nothing."""
        ...

    def update(
        self, x_BTI: Float[Array, "B T d_in"], weights_B: Float[Array, " B"], group: Int[Array, ""]
    ) -> "Statistic":
        """Adds every token of the sequences whose weight is 1; those of weight 0 only fill the batch."""
        ...

    def means(self) -> Float32[Array, "G ..."]:
        """Returns the mean over the tokens of each group; zero for a group without tokens."""
        ...


@struct.dataclass
class InputNorms:
    """Sum of each input's square: the squared norm of its column of activations."""

    squared_GI: Float32[Array, "G d_in"] | Any
    tokens_G: Int32[Array, " G"] | Any

    @classmethod
    def zeros(cls, d_in: int, num_groups: int) -> "InputNorms":
        """Returns the summary of nothing."""
        return cls(jnp.zeros((num_groups, d_in), jnp.float32), jnp.zeros(num_groups, jnp.int32))

    def update(
        self, x_BTI: Float[Array, "B T d_in"], weights_B: Float[Array, " B"], group: Int[Array, ""]
    ) -> "InputNorms":
        """Adds the squares of every token that counts."""
        # bfloat16 has 8 bits: a sum of its squares would stop growing after a few hundred tokens.
        x_BTI = _counted(x_BTI, weights_B).astype(jnp.float32)
        squared_I = jnp.sum(jnp.square(x_BTI), axis=(0, 1))
        return type(self)(
            _add(self.squared_GI, squared_I, group), _add(self.tokens_G, _num_tokens(x_BTI, weights_B), group)
        )

    def means(self) -> Float32[Array, "G d_in"]:
        """Returns the mean square of each input."""
        return self.squared_GI / _at_least_one(self.tokens_G)[:, None]


@struct.dataclass
class InputGram:
    """Sum of the outer product of each token's inputs with themselves: its upper triangle.

    What lies below the diagonal is not filled in, or in part only, and is not to be read. SparseGPT's Hessian is twice
    the mean; no factor of it changes what the method does.
    """

    gram_GII: Float32[Array, "G d_in d_in"] | Any
    tokens_G: Int32[Array, " G"] | Any

    @classmethod
    def zeros(cls, d_in: int, num_groups: int) -> "InputGram":
        """Returns the summary of nothing."""
        return cls(jnp.zeros((num_groups, d_in, d_in), jnp.float32), jnp.zeros(num_groups, jnp.int32))

    def update(
        self, x_BTI: Float[Array, "B T d_in"], weights_B: Float[Array, " B"], group: Int[Array, ""]
    ) -> "InputGram":
        """Adds the outer products of every token that counts."""
        x_NI = _counted(x_BTI, weights_B).reshape(-1, x_BTI.shape[-1])
        gram_GII = jax.lax.platform_dependent(
            self.gram_GII, x_NI, group, cpu=add_products_of_panels, default=add_products_of_strips
        )
        return type(self)(gram_GII, _add(self.tokens_G, _num_tokens(x_BTI, weights_B), group))

    def means(self) -> Float32[Array, "G d_in d_in"]:
        """Returns the upper triangle of the mean outer product."""
        return self.gram_GII / _at_least_one(self.tokens_G)[:, None, None]


def _counted(x_BTI: Float[Array, "B T d_in"], weights_B: Float[Array, " B"]) -> Float[Array, "B T d_in"]:
    # Selected, not multiplied: what the model makes of a filler may be NaN.
    return jnp.where(weights_B[:, None, None] > 0, x_BTI, jnp.zeros_like(x_BTI))


def _num_tokens(x_BTI: Float[Array, "B T d_in"], weights_B: Float[Array, " B"]) -> Int32[Array, ""]:
    # int32 holds a million sequences of 2048 tokens; float32 stops counting single ones at 2**24.
    return jnp.sum(weights_B > 0, dtype=jnp.int32) * x_BTI.shape[1]


def add_products_of_strips(
    gram_GII: Float32[Array, "G d_in d_in"], x_NI: Float[Array, "N d_in"], group: Int[Array, ""]
) -> Float32[Array, "G d_in d_in"]:
    """Adds to one group the products of strips of columns with all from their first on."""
    for start, end in _strips(x_NI.shape[1], _STRIPS, _STRIP_ROWS):
        gram_GII = _add(gram_GII, _multiply(x_NI[:, start:end].T, x_NI[:, start:]), group, start)
    return gram_GII


def add_products_of_panels(
    gram_GII: Float32[Array, "G d_in d_in"], x_NI: Float[Array, "N d_in"], group: Int[Array, ""]
) -> Float32[Array, "G d_in d_in"]:
    """Does what ``add_products_of_strips`` does, with every panel of columns copied out once for all its products."""
    panels = _strips(x_NI.shape[1], _PANELS, _PANEL_ROWS)
    # Barriers: else the activation is computed again for each panel, and each panel copied for each product.
    x_NI = jax.lax.optimization_barrier(x_NI)
    right_NI = jax.lax.optimization_barrier([x_NI[:, start:end] for start, end in panels])
    left_IN = [panel_NI.T for panel_NI in right_NI]
    if x_NI.dtype != jnp.float32:
        # Bfloat16 instructions are used only where both operands lie as they are multiplied.
        x_IN = jax.lax.optimization_barrier(x_NI.T)
        left_IN = [x_IN[start:end] for start, end in panels]
    for i, (start, _) in enumerate(panels):
        row = jnp.concatenate([_multiply(left_IN[i], panel_NI) for panel_NI in right_NI[i:]], axis=1)
        gram_GII = _add(gram_GII, row, group, start)
    return gram_GII


def _multiply(left: Float[Array, "a N"], right: Float[Array, "N b"]) -> Float32[Array, "a b"]:
    # HIGHEST: TPUs and recent GPUs would round float32 inputs to bfloat16 or TF32. Products of bfloat16 inputs
    # are exact in float32 as they stand, and many times faster than those of inputs cast first.
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST, preferred_element_type=jnp.float32)


def _strips(width: int, number: int, rows: int) -> list[tuple[int, int]]:
    """Returns where the strips of a symmetric matrix begin and end: ``number`` at most, of a multiple of ``rows``."""
    if devices_that_share_weights() > 1:
        # They split the columns of a product; of a shorter one the first of them would have nothing to do.
        return [(0, width)]
    size = -(-width // (number * rows)) * rows
    return [(start, min(start + size, width)) for start in range(0, width, size)]


def _add(total_G: Any, value: Any, group: Int[Array, ""], corner: int = 0) -> Any:
    """Adds ``value`` to one group in place, if the caller donates the total; of a matrix, from ``corner`` on."""
    start = (group, *[corner] * (total_G.ndim - 1))
    sum_ = jax.lax.dynamic_slice(total_G, start, (1, *value.shape)) + value[None]
    return jax.lax.dynamic_update_slice(total_G, sum_, start)


def _at_least_one(tokens_G: Int32[Array, " G"]) -> Float32[Array, " G"]:
    return jnp.maximum(tokens_G, 1).astype(jnp.float32)
