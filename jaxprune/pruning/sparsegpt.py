"""SparseGPT (Frantar and Alistarh, 2023, https://arxiv.org/abs/2301.00774): the kept weights make up for it.

Inputs are pruned in order. Pruning weight w of input i leaves the error ``e = w / U_ii``, and every later
input j moves by ``-e U_ij``. The published code pushes each error to all later inputs at once. Here an input
pulls what the earlier ones left for it, in three nested scans (blocks, groups, inputs): most of the work is
large matrix products, and compile time does not depend on the width.

Shapes: I inputs, O outputs, K inputs of a block, M inputs of a group.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32

from jaxprune.errors import RequestError
from jaxprune.pruning.factorisation import InverseFactor, factorise_inverse
from jaxprune.pruning.languages import LanguageCombination, SumLanguages
from jaxprune.pruning.method import PrunedKernel
from jaxprune.pruning.patterns import NM, Pattern, Scope, Unstructured
from jaxprune.pruning.statistics import InputGram, Statistic

# Inputs of a group where no pattern says: errors of so many stay in the cache of a core.
_GROUP = 16

# Blocks whose errors are pulled by one matrix product.
_PULLED_BLOCKS = 4


@dataclasses.dataclass(frozen=True)
class SparseGPT:
    """Prunes block by block of inputs and updates what is kept.

    Attributes:
      block_size: inputs whose mask is chosen together. For N:M, rounded down to a multiple of M.
      damping: what is added to the diagonal of the Gram matrix, in units of its mean.
      languages: how the statistics of several languages become one.
    """

    name: ClassVar[str] = "sparsegpt"
    statistic: ClassVar[type[Statistic] | None] = InputGram
    default_scope: ClassVar[Scope] = "block"
    block_size: int = 128
    damping: float = 0.01
    languages: LanguageCombination = dataclasses.field(default_factory=SumLanguages)

    def __post_init__(self) -> None:
        """Raises RequestError for numbers without meaning."""
        if self.block_size < 1:
            raise RequestError(f"block size {self.block_size} is not a number of inputs; the published one is 128.")
        if not 0 < self.damping < float("inf"):
            raise RequestError(f"damping {self.damping:g} is not a positive number; the published one is 0.01.")

    def prepare(self, statistic: Statistic | None) -> InverseFactor:
        """Factorises the inverse of the damped Gram matrix."""
        assert isinstance(statistic, InputGram)
        return factorise_inverse(self.languages.combine(statistic), self.damping)

    def prune(self, kernel_IO: Float32[Array, "d_in d_out"], prepared: InverseFactor, pattern: Pattern) -> PrunedKernel:
        """Prunes a kernel and updates its kept weights."""
        pruned_IO, mask_IO = _sweep(kernel_IO, prepared, pattern, *_tile(self.block_size, pattern))
        diagnostics = {
            "damping": prepared.damping,
            "damping_raised": prepared.damping_raised,
            "factorised": prepared.factorised,
            "dead_inputs": jnp.sum(prepared.dead_I, dtype=jnp.int32),
        }
        return PrunedKernel(pruned_IO, mask_IO, diagnostics)


def _tile(block_size: int, pattern: Pattern) -> tuple[int, int]:
    """Returns the inputs of a block and of a group."""
    if isinstance(pattern, NM):
        return max(block_size // pattern.m, 1) * pattern.m, pattern.m
    return block_size, max(size for size in range(1, _GROUP + 1) if block_size % size == 0)


def _sweep(
    kernel_IO: Float32[Array, "d_in d_out"], factor: InverseFactor, pattern: Pattern, block: int, group: int
) -> tuple[Float32[Array, "d_in d_out"], Bool[Array, "d_in d_out"]]:
    d_in, d_out = kernel_IO.shape
    pattern.check_width(d_in)
    padding = -d_in % block
    num_blocks = (d_in + padding) // block
    # Inputs after the last that nothing reaches and that reach nothing.
    pulled = _PULLED_BLOCKS * block
    lower_II = jnp.pad(factor.lower_II, ((0, padding), (0, -d_in % pulled)))
    pivot_I = jnp.pad(jnp.diagonal(factor.lower_II), (0, padding), constant_values=1.0)
    # A dead input's weights score 0, so that they go first. Those beyond the number asked for do no harm.
    divisor_I = jnp.pad(jnp.where(factor.dead_I, jnp.inf, pivot_I[:d_in]), (0, padding))
    kernel_KO = jnp.pad(kernel_IO, ((0, padding), (0, 0))).reshape(num_blocks, block, d_out)
    counts = masks_KO = None
    if not isinstance(pattern, NM):
        if pattern.within == "kernel":
            mask_IO = pattern.mask(_scores(kernel_IO, divisor_I[:d_in]))
            masks_KO = jnp.pad(mask_IO, ((0, padding), (0, 0))).reshape(num_blocks, block, d_out)
        else:
            counts = jnp.asarray(pattern.block_counts(d_in, d_out, block))

    def prune_block(errors_IO: Array, xs: tuple[Any, ...]) -> tuple[Array, tuple[Array, Array]]:
        start, kernel_KO, pivot_K, divisor_K, count, mask_KO = xs
        # Rows: for columns a TPU would turn the whole matrix round, for every block again.
        lower_KI = jax.lax.dynamic_slice_in_dim(lower_II, start, block)

        def pull(index: Array, kernel_KO: Array) -> Array:
            inputs = (index * pulled, pulled)
            return kernel_KO - _pull(
                jax.lax.dynamic_slice_in_dim(lower_KI, *inputs, axis=1),
                jax.lax.dynamic_slice_in_dim(errors_IO, *inputs),
            )

        # Only as far as errors are known: those of this block and the later ones are still zero.
        kernel_KO = jax.lax.fori_loop(0, (start + pulled - 1) // pulled, pull, kernel_KO)
        if count is not None:
            assert isinstance(pattern, Unstructured)
            mask_KO = pattern.keep(_scores(kernel_KO, divisor_K), count)
        lower_KK = jax.lax.dynamic_slice_in_dim(lower_KI, start, block, axis=1)
        errors_KO, pruned = _prune_groups(kernel_KO, lower_KK, pivot_K, divisor_K, mask_KO, pattern, group)
        return jax.lax.dynamic_update_slice_in_dim(errors_IO, errors_KO, start, axis=0), pruned

    xs = (
        jnp.arange(num_blocks) * block,
        kernel_KO,
        pivot_I.reshape(num_blocks, block),
        divisor_I.reshape(num_blocks, block),
        counts,
        masks_KO,
    )
    errors_IO = jnp.zeros((lower_II.shape[1], d_out), jnp.float32)
    _, (pruned_KO, masks_KO) = jax.lax.scan(prune_block, errors_IO, xs)
    return pruned_KO.reshape(-1, d_out)[:d_in], masks_KO.reshape(-1, d_out)[:d_in]


def _prune_groups(
    kernel_KO: Float32[Array, "K O"],
    lower_KK: Float32[Array, "K K"],
    pivot_K: Float32[Array, " K"],
    divisor_K: Float32[Array, " K"],
    mask_KO: Bool[Array, "K O"] | None,
    pattern: Pattern,
    group: int,
) -> tuple[Float32[Array, "K O"], tuple[Float32[Array, "K O"], Bool[Array, "K O"]]]:
    """Returns a block's errors, its pruned weights and their mask, chosen group by group if there is none."""
    block, d_out = kernel_KO.shape

    def prune_group(errors_KO: Array, xs: tuple[Any, ...]) -> tuple[Array, tuple[Array, Array]]:
        start, kernel_MO, pivot_M, divisor_M, mask_MO = xs
        lower_MK = jax.lax.dynamic_slice_in_dim(lower_KK, start, group)
        kernel_MO = kernel_MO - _pull(lower_MK, errors_KO)
        if mask_MO is None:
            # As published: chosen at the group's first input, from weights that earlier groups have moved.
            assert isinstance(pattern, NM)
            mask_MO = pattern.mask(_scores(kernel_MO, divisor_M))
        lower_MM = jax.lax.dynamic_slice_in_dim(lower_MK, start, group, axis=1)
        errors_MO, pruned_MO = _prune_inputs(kernel_MO, lower_MM, pivot_M, mask_MO)
        return jax.lax.dynamic_update_slice_in_dim(errors_KO, errors_MO, start, axis=0), (pruned_MO, mask_MO)

    grouped = (block // group, group)
    xs = (
        jnp.arange(block // group) * group,
        kernel_KO.reshape(*grouped, d_out),
        pivot_K.reshape(grouped),
        divisor_K.reshape(grouped),
        None if mask_KO is None else mask_KO.reshape(*grouped, d_out),
    )
    errors_KO, (pruned_MO, mask_MO) = jax.lax.scan(prune_group, jnp.zeros_like(kernel_KO), xs)
    return errors_KO, (pruned_MO.reshape(block, d_out), mask_MO.reshape(block, d_out))


def _prune_inputs(
    kernel_MO: Float32[Array, "M O"],
    lower_MM: Float32[Array, "M M"],
    pivot_M: Float32[Array, " M"],
    mask_MO: Bool[Array, "M O"],
) -> tuple[Float32[Array, "M O"], Float32[Array, "M O"]]:
    """Returns the errors of a group and its pruned weights."""
    operands = kernel_MO, lower_MM, pivot_M, mask_MO
    # A GPU starts a kernel for each step of a loop, and takes longer for that than for the step.
    return jax.lax.platform_dependent(*operands, cuda=prune_inputs_unrolled, default=prune_inputs_in_a_loop)


def prune_inputs_in_a_loop(
    kernel_MO: Float32[Array, "M O"],
    lower_MM: Float32[Array, "M M"],
    pivot_M: Float32[Array, " M"],
    mask_MO: Bool[Array, "M O"],
) -> tuple[Float32[Array, "M O"], Float32[Array, "M O"]]:
    """Returns the errors of a group and its pruned weights, input by input."""

    def prune_input(errors_MO: Array, xs: tuple[Array, ...]) -> tuple[Array, Array]:
        index, kernel_O, lower_M, pivot, mask_O = xs
        kernel_O = kernel_O - _pull(lower_M[None, :], errors_MO)[0]
        error_O = jnp.where(mask_O, 0.0, kernel_O / pivot)
        errors_MO = jax.lax.dynamic_update_index_in_dim(errors_MO, error_O, index, 0)
        return errors_MO, jnp.where(mask_O, kernel_O, 0.0)

    xs = (jnp.arange(len(pivot_M)), kernel_MO, lower_MM, pivot_M, mask_MO)
    return jax.lax.scan(prune_input, jnp.zeros_like(kernel_MO), xs)


def prune_inputs_unrolled(
    kernel_MO: Float32[Array, "M O"],
    lower_MM: Float32[Array, "M M"],
    pivot_M: Float32[Array, " M"],
    mask_MO: Bool[Array, "M O"],
) -> tuple[Float32[Array, "M O"], Float32[Array, "M O"]]:
    """Does what ``prune_inputs_in_a_loop`` does in straight code, which is fused into few kernels."""
    errors: list[Array] = []
    pruned: list[Array] = []
    for i in range(len(pivot_M)):
        kernel_O = kernel_MO[i]
        for j, error_O in enumerate(errors):
            kernel_O = kernel_O - lower_MM[i, j] * error_O
        errors.append(jnp.where(mask_MO[i], 0.0, kernel_O / pivot_M[i]))
        pruned.append(jnp.where(mask_MO[i], kernel_O, 0.0))
    return jnp.stack(errors), jnp.stack(pruned)


def _pull(lower_KI: Float32[Array, "K I"], errors_IO: Float32[Array, "I O"]) -> Float32[Array, "K O"]:
    """Returns what the errors of earlier inputs move these inputs' weights by, with the sign turned."""
    return jnp.matmul(lower_KI, errors_IO, precision=jax.lax.Precision.HIGHEST)


def _scores(kernel_IO: Float32[Array, "I O"], divisor_I: Float32[Array, " I"]) -> Float32[Array, "I O"]:
    """Returns ``|W| / U_ii``, infinite for padding: the root of the published score, which would overflow."""
    scores_IO = jnp.minimum(jnp.abs(kernel_IO) / divisor_I[:, None], jnp.finfo(jnp.float32).max)
    return jnp.where(divisor_I[:, None] > 0, scores_IO, jnp.inf)
