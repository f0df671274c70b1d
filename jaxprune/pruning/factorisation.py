"""The factor that SparseGPT reads everything from: U upper triangular with ``(H + lambda I)^-1 = U^T U``.

H is never inverted: ``H = R R^T`` with R upper triangular gives ``U = R^-1``. What is kept is U transposed, because
that is read in rows.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int32

from jaxprune.pruning.devices import device_of_all, from_all_devices

_PANEL = 128

# Panels that are multiplied at once.
_CHUNK = 4

# More than the mean of the diagonal would leave little of the statistic, and no Gram matrix needs it.
_MAX_DAMPING = 1.0


class InverseFactor(NamedTuple):
    """What one factorisation gives.

    Attributes:
      lower_II: U transposed, float32; NaN where nothing could be factorised.
      dead_I: inputs that are zero on every token.
      damping: what was added to the diagonal, in units of its mean.
      damping_raised: how many times it had to grow tenfold.
      factorised: False if the largest damping did not help either.
    """

    lower_II: Float32[Array, "d_in d_in"]
    dead_I: Bool[Array, " d_in"]
    damping: Float32[Array, ""]
    damping_raised: Int32[Array, ""]
    factorised: Bool[Array, ""]


def factorise_inverse(gram_II: Float32[Array, "d_in d_in"], damping: float) -> InverseFactor:
    """Returns U transposed, with ten times the damping after each failure, up to the mean of the diagonal.

    Args:
      gram_II: mean outer product of the inputs, of which the upper triangle is read.
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
        lower_II = inverse_factor(jnp.where(on_diagonal, damped_I[:, None], gram_II))
        return raised, jnp.isfinite(lower_II).all() & (jnp.diagonal(lower_II) > 0).all(), lower_II

    start = (jnp.int32(-1), jnp.asarray(False), jnp.zeros_like(gram_II))
    raised, factorised, lower_II = jax.lax.while_loop(is_unfinished, attempt, start)
    return InverseFactor(lower_II, dead_I, table[raised], raised, factorised)


def inverse_factor(matrix_II: Float32[Array, "n n"]) -> Float32[Array, "n n"]:
    """Returns the lower triangular M with ``matrix^-1 = M M^T``, NaN somewhere if the matrix is not positive definite.

    ``M = R^-T``, where ``matrix = R R^T`` and R is upper triangular. Of the matrix, the upper triangle is read.
    """
    return jax.lax.platform_dependent(matrix_II, tpu=blocked_inverse_factor, default=library_inverse_factor)


def library_inverse_factor(matrix_II: Float32[Array, "n n"]) -> Float32[Array, "n n"]:
    """Returns M from the routines of LAPACK or cuSOLVER."""
    upper_II = _upper_cholesky(matrix_II)
    identity_II = jnp.eye(len(matrix_II), dtype=matrix_II.dtype)
    return jax.lax.linalg.triangular_solve(upper_II, identity_II, left_side=True, lower=False, transpose_a=True)


def blocked_inverse_factor(matrix_II: Float32[Array, "n n"]) -> Float32[Array, "n n"]:
    """Returns M, panel by panel of columns, from the last to the first.

    For TPUs, which take minutes to compile a factorisation of a whole matrix: here they see one panel.

    M and R are computed alike: of both, a panel of columns is what the later panels leave of the identity's and of
    the matrix's, divided by the corner of R. They lie in one array of ``2 n`` rows, M above R: what is not zero of a
    panel is then ``n`` rows and a panel's without a gap, M's from the corner down and R's down to the corner. Devices
    that run this together compute some of these rows each and exchange them.
    """
    n = len(matrix_II)
    num_panels = -(-n // _PANEL)
    chunk = min(_CHUNK, num_panels) * _PANEL
    size = -(-n // chunk) * chunk
    # Identity after the last row: the factors of what stands before it are the same.
    index = jnp.arange(size)
    matrix_II = jnp.pad(matrix_II, ((0, size - n), (0, size - n)))
    matrix_II = jnp.where((index[:, None] == index[None, :]) & (index[:, None] >= n), 1.0, matrix_II)
    device, num_devices = device_of_all()
    own_rows = -(-(size + _PANEL) // num_devices)

    def factorise_panel(step: Array, stacked: Array) -> Array:
        start = size - (step + 1) * _PANEL

        def panel(above: Array | int, num_rows: int) -> Array:
            """Returns rows of the panel, from the one that has so many above it: what the later panels leave."""

            def subtract(number: Array, column_WP: Array) -> Array:
                first = size - (number + 1) * chunk
                done_WC = jax.lax.dynamic_slice(stacked, (start + above, first), (num_rows, chunk))
                row_PC = jax.lax.dynamic_slice(stacked, (size + start, first), (_PANEL, chunk))
                is_done = first + jnp.arange(chunk) >= start + _PANEL
                return column_WP - _matmul(done_WC, jnp.where(is_done, row_PC, 0.0).T)

            column_WP = jax.lax.dynamic_slice(stacked, (start + above, start), (num_rows, _PANEL))
            row = above + jnp.arange(num_rows)[:, None]
            column_WP = jnp.where(row < _PANEL, (row == jnp.arange(_PANEL)[None, :]).astype(jnp.float32), column_WP)
            return jax.lax.fori_loop(0, -(-step * _PANEL // chunk), subtract, column_WP)

        corner_PP = _upper_cholesky(panel(size, _PANEL))
        column_WP = jax.lax.linalg.triangular_solve(
            corner_PP, panel(device * own_rows, own_rows), left_side=False, lower=False, transpose_a=True
        )
        column_WP = from_all_devices(column_WP)[: size + _PANEL]
        # Above the corner M is zero, below it R is, to the last bit.
        column_WP = column_WP.at[:_PANEL].set(jnp.tril(column_WP[:_PANEL])).at[-_PANEL:].set(corner_PP)
        return jax.lax.dynamic_update_slice(stacked, column_WP, (start, start))

    # Rows after the last, so that the last device has as many as the others.
    stacked = jnp.pad(matrix_II, ((size, num_devices * own_rows - size - _PANEL), (0, 0)))
    return jax.lax.fori_loop(0, size // _PANEL, factorise_panel, stacked)[:n, :n]


def _upper_cholesky(matrix_II: Float32[Array, "n n"]) -> Float32[Array, "n n"]:
    """Returns the upper triangular R with ``matrix = R R^T``: the lower factor of what is reversed, reversed."""
    return jax.lax.linalg.cholesky(matrix_II[::-1, ::-1], symmetrize_input=False)[::-1, ::-1]


def _matmul(left: Float32[Array, "a b"], right: Float32[Array, "b c"]) -> Float32[Array, "a c"]:
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
