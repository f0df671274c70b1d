"""The factor that SparseGPT reads everything from: U upper triangular with ``(H + lambda I)^-1 = U^T U``.

H is never inverted. With J the matrix that reverses the order of the inputs, the Cholesky factor of
``J H J = G G^T`` gives ``U = J G^-1 J``.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int32

_PANEL = 128

# More than the mean of the diagonal would leave little of the statistic, and no Gram matrix needs it.
_MAX_DAMPING = 1.0


class InverseFactor(NamedTuple):
    """What one factorisation gives.

    Attributes:
      upper_II: U, float32; NaN where nothing could be factorised.
      dead_I: inputs that are zero on every token.
      damping: what was added to the diagonal, in units of its mean.
      damping_raised: how many times it had to grow tenfold.
      factorised: False if the largest damping did not help either.
    """

    upper_II: Float32[Array, "d_in d_in"]
    dead_I: Bool[Array, " d_in"]
    damping: Float32[Array, ""]
    damping_raised: Int32[Array, ""]
    factorised: Bool[Array, ""]


def factorise_inverse(gram_II: Float32[Array, "d_in d_in"], damping: float) -> InverseFactor:
    """Returns U, with ten times the damping after each failure, up to the mean of the diagonal.

    Args:
      gram_II: mean outer product of the inputs.
      damping: what is added to the diagonal, in units of its mean.
    """
    dampings = [damping]
    while dampings[-1] * 10 <= _MAX_DAMPING * (1 + 1e-9):
        dampings.append(dampings[-1] * 10)
    table = jnp.asarray(np.asarray(dampings, np.float32))
    diagonal_I = jnp.diagonal(gram_II)
    dead_I = diagonal_I == 0
    mean = jnp.mean(diagonal_I)
    scale = jnp.where(mean > 0, mean, 1.0)
    diagonal_I = jnp.where(dead_I, scale, diagonal_I)
    on_diagonal = jnp.eye(len(diagonal_I), dtype=bool)

    def is_unfinished(state: tuple[Array, Array, Array]) -> Array:
        raised, factorised, _ = state
        return ~factorised & (raised + 1 < len(dampings))

    def attempt(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        raised = state[0] + 1
        damped_I = diagonal_I + table[raised] * scale
        upper_II = inverse_upper(jnp.where(on_diagonal, damped_I[:, None], gram_II))
        return raised, jnp.isfinite(upper_II).all() & (jnp.diagonal(upper_II) > 0).all(), upper_II

    start = (jnp.int32(-1), jnp.asarray(False), jnp.zeros_like(gram_II))
    raised, factorised, upper_II = jax.lax.while_loop(is_unfinished, attempt, start)
    return InverseFactor(upper_II, dead_I, table[raised], raised, factorised)


def inverse_upper(matrix_II: Float32[Array, "n n"]) -> Float32[Array, "n n"]:
    """Returns U with ``matrix^-1 = U^T U``, NaN somewhere if the matrix is not positive definite."""
    reversed_II = matrix_II[::-1, ::-1]
    lower_II = jax.lax.platform_dependent(reversed_II, tpu=blocked_inverse_cholesky, default=library_inverse_cholesky)
    return lower_II[::-1, ::-1]


def library_inverse_cholesky(matrix_II: Float32[Array, "n n"]) -> Float32[Array, "n n"]:
    """Returns the inverse of the lower Cholesky factor, from LAPACK or cuSOLVER."""
    lower_II = jax.lax.linalg.cholesky(matrix_II, symmetrize_input=False)
    identity_II = jnp.eye(len(matrix_II), dtype=matrix_II.dtype)
    return jax.lax.linalg.triangular_solve(lower_II, identity_II, left_side=True, lower=True)


def blocked_inverse_cholesky(matrix_II: Float32[Array, "n n"]) -> Float32[Array, "n n"]:
    """Returns the inverse of the lower Cholesky factor, panel by panel.

    For TPUs, which take minutes to compile a factorisation of a whole matrix: here they see one panel.
    """
    n = len(matrix_II)
    padding = -n % _PANEL
    size = n + padding
    # Identity rows after the last: the factor of what stands before them is the same.
    matrix_II = jnp.pad(matrix_II, ((0, padding), (0, padding)))
    index = jnp.arange(size)
    matrix_II = jnp.where((index[:, None] == index[None, :]) & (index[:, None] >= n), 1.0, matrix_II)

    def factorise_panel(panel: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        lower_II, inverse_II = state
        start = panel * _PANEL
        done_PI = jax.lax.dynamic_slice_in_dim(lower_II, start, _PANEL)
        column_IP = jax.lax.dynamic_slice_in_dim(matrix_II, start, _PANEL, axis=1) - _matmul(lower_II, done_PI.T)
        corner_PP = jax.lax.linalg.cholesky(jax.lax.dynamic_slice_in_dim(column_IP, start, _PANEL))
        column_IP = jax.lax.linalg.triangular_solve(corner_PP, column_IP, left_side=False, lower=True, transpose_a=True)
        column_IP = jnp.where(index[:, None] >= start + _PANEL, column_IP, 0.0)
        column_IP = jax.lax.dynamic_update_slice_in_dim(column_IP, corner_PP, start, axis=0)
        # Row by row, corner @ inverse = identity - (what stands left of the corner) @ (inverse so far).
        identity_PI = (start + jnp.arange(_PANEL)[:, None] == index[None, :]).astype(matrix_II.dtype)
        row_PI = jax.lax.linalg.triangular_solve(
            corner_PP, identity_PI - _matmul(done_PI, inverse_II), left_side=True, lower=True
        )
        return (
            jax.lax.dynamic_update_slice_in_dim(lower_II, column_IP, start, axis=1),
            jax.lax.dynamic_update_slice_in_dim(inverse_II, row_PI, start, axis=0),
        )

    start = (jnp.zeros_like(matrix_II), jnp.zeros_like(matrix_II))
    _, inverse_II = jax.lax.fori_loop(0, size // _PANEL, factorise_panel, start)
    return inverse_II[:n, :n]


def _matmul(left: Float32[Array, "a b"], right: Float32[Array, "b c"]) -> Float32[Array, "a c"]:
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
