"""Sums over the tokens of hidden states, of several models side by side: what the analysis of subspaces is made of.

Sums are float32 on the devices, each of its own sequences, and float64 on the host.

Shapes: K models, the first of which is the reference; B sequences of a microbatch, T tokens, D hidden size, R_k rank
of a model's language-specific subspace, S devices on the mesh's ``data`` axis.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Float32, Float64

from jaxprune.analysis.cka import Moments, alignment, unbiased_hsic
from jaxprune.distributed import gather_rows
from jaxprune.evaluation.distortion import Distortion
from jaxprune.microbatches import Microbatch
from jaxprune.sharding import place_batch, replicate, statistic_sharding

_HIGHEST = jax.lax.Precision.HIGHEST


@functools.partial(jax.jit, static_argnames=("num_leading",))
def _sums(x_BTD: Float[Array, "B T D"], num_leading: int) -> Float32[Array, "B D"]:
    return jnp.sum(x_BTD[:, num_leading:].astype(jnp.float32), axis=1)


def sequence_sums(batch: Microbatch, x_BTD: Float[Array, "B T D"], num_leading: int) -> Float64[np.ndarray, "n D"]:
    """Returns the sum over the tokens of each sequence, its first ``num_leading`` left out."""
    return gather_rows(_sums(x_BTD, num_leading))[: batch.num_sequences].astype(np.float64)


class _Squares(NamedTuple):
    """Sums of squares, for each sequence ``[B]``; each for the K models, or for those after the first."""

    energy: tuple[Array, ...]
    specific: tuple[Array, ...]
    noise: tuple[Array, ...]
    specific_noise: tuple[Array, ...]
    centred: tuple[Array, ...]
    fourth: tuple[Array, ...]
    crossed: tuple[Array, ...]


class LanguageMoments:
    """What is summed over one language's tokens after one block.

    ``add`` every microbatch, then ask.
    """

    def __init__(
        self,
        mesh: Mesh,
        means_KD: Float64[np.ndarray, "K D"],
        specific: Sequence[Float64[np.ndarray, "D _R"]],
        *,
        num_leading: int,
    ):
        """Starts with no tokens.

        Args:
          means_KD: the language's mean in each model.
          specific: directions of each model's language-specific subspace.
          num_leading: tokens at the beginning of each sequence that are left out.
        """
        self._mesh, self._num_leading = mesh, num_leading
        self._means_KD = replicate(mesh, means_KD.astype(np.float32))
        self._specific = tuple(replicate(mesh, of.astype(np.float32)) for of in specific)
        self._num_models, width = means_KD.shape
        shape = (mesh.shape["data"], width, width)
        zeros = functools.partial(_zeros, shape, statistic_sharding(mesh, shape))
        self._products = (zeros(), *((zeros(), zeros()) for _ in range(self._num_models - 1)))
        self._squares: Any = None
        self.count = 0

    def add(self, batch: Microbatch, x: Sequence[Float[Array, "B T D"]]) -> None:
        """Adds a microbatch: its hidden states in each model."""
        weights_B = place_batch(self._mesh, batch.weights_B)
        self._products, squares = _add(
            self._mesh, self._products, tuple(x), weights_B, self._means_KD, self._specific, self._num_leading
        )
        parts, structure = jax.tree.flatten(squares)
        # Side by side: processes exchange them once for all.
        rows_BP = gather_rows(_stack(parts))[: batch.num_sequences]
        summed = jax.tree.unflatten(structure, rows_BP.sum(axis=0, dtype=np.float64).tolist())
        self._squares = summed if self._squares is None else jax.tree.map(lambda a, b: a + b, self._squares, summed)
        self.count += batch.num_sequences * (batch.tokens_BT.shape[1] - self._num_leading)

    def energy(self, model: int) -> tuple[float, float]:
        """Returns the mean squared length of a model's hidden states, and of their language-specific part."""
        return self._squares.energy[model] / self.count, self._squares.specific[model] / self.count

    def distortion(self, model: int) -> tuple[Distortion, Distortion]:
        """Returns how far a model after the first is from it, in all and in the first one's specific subspace."""
        width = self._means_KD.shape[1]
        return (
            Distortion(self._squares.energy[0], self._squares.noise[model - 1], self.count * width),
            Distortion(
                self._squares.specific[0],
                self._squares.specific_noise[model - 1],
                self.count * max(1, self._specific[0].shape[1]),
            ),
        )

    def alignments(self) -> tuple[float | None, ...]:
        """Returns the centred kernel alignment of each model after the first with it, over tokens."""
        norms = [_squared_norm(of) for of in (self._products[0], *(own for own, _ in self._products[1:]))]
        across = [_squared_norm(of) for _, of in self._products[1:]]
        squares = self._squares

        def hsic(product: float, fourth: float, a: int, b: int) -> float:
            return unbiased_hsic(Moments(product, fourth, (squares.centred[a], squares.centred[b])), self.count)

        own = [hsic(norm, squares.fourth[k], k, k) for k, norm in enumerate(norms)]
        return tuple(
            alignment(hsic(product, squares.crossed[k - 1], 0, k), own[0], own[k])
            for k, product in enumerate(across, start=1)
        )


@functools.partial(jax.jit, static_argnames=("mesh", "num_leading"), donate_argnames=("products",))
def _add(
    mesh: Mesh,
    products: Any,
    x: tuple[Float[Array, "B T D"], ...],
    weights_B: Float[Array, " B"],
    means_KD: Float32[Array, "K D"],
    specific: tuple[Float32[Array, "D _R"], ...],
    num_leading: int,
) -> tuple[Any, _Squares]:
    """Adds each device's sequences to its sums."""

    def on_device(products: Any, x: Any, weights_B: Array, means_KD: Array, specific: Any) -> Any:
        x = [of[:, num_leading:].astype(jnp.float32) for of in x]
        centred = [(of - means_KD[k][None, None]) * weights_B[:, None, None] for k, of in enumerate(x)]
        lengths = [jnp.sum(jnp.square(of), axis=-1) for of in centred]

        def outer(a: Array, b: Array) -> Array:
            return jnp.einsum("btd,bte->de", a, b, precision=_HIGHEST)[None]

        def along(a: Array, directions_DR: Array) -> Array:
            return jnp.einsum("btd,dr->btr", a, directions_DR, precision=_HIGHEST)

        def squares(a: Array) -> Array:
            return jnp.sum(jnp.square(a), axis=(1, 2))

        first, *others = products
        added = (
            first + outer(centred[0], centred[0]),
            *(
                (own + outer(of, of), across + outer(centred[0], of))
                for (own, across), of in zip(others, centred[1:], strict=True)
            ),
        )
        noise = [x[0] - of for of in x[1:]]
        return added, _Squares(
            energy=tuple(map(squares, x)),
            specific=tuple(squares(along(of, directions)) for of, directions in zip(x, specific, strict=True)),
            noise=tuple(map(squares, noise)),
            specific_noise=tuple(squares(along(of, specific[0])) for of in noise),
            centred=tuple(jnp.sum(of, axis=1) for of in lengths),
            fourth=tuple(jnp.sum(jnp.square(of), axis=1) for of in lengths),
            crossed=tuple(jnp.sum(lengths[0] * of, axis=1) for of in lengths[1:]),
        )

    split, whole = PartitionSpec("data"), PartitionSpec()
    return jax.shard_map(
        on_device,
        mesh=mesh,
        axis_names={"data"},
        in_specs=(split, split, split, whole, whole),
        out_specs=(split, split),
    )(products, x, weights_B, means_KD, specific)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _zeros(shape: tuple[int, ...], sharding: Any) -> Float32[Array, "S D D"]:
    return jax.lax.with_sharding_constraint(jnp.zeros(shape, jnp.float32), sharding)


@jax.jit
def _stack(parts: list[Float32[Array, " B"]]) -> Float32[Array, "B P"]:
    return jnp.stack(parts, axis=1)


def _squared_norm(sums_SDD: Float32[Array, "S D D"]) -> float:
    return float(gather_rows(_squares_of_rows(sums_SDD)).sum(dtype=np.float64))


@jax.jit
def _squares_of_rows(sums_SDD: Float32[Array, "S D D"]) -> Float32[Array, " D"]:
    return jnp.sum(jnp.square(jnp.sum(sums_SDD, axis=0)), axis=-1)
