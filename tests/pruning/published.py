"""The published algorithms in float64 NumPy, step by step as their authors' code takes them.

Kernels here are ``[d_out, d_in]`` as published, and masks True where a weight is kept. What is odd in the
originals is kept and named, except one thing: magnitude and SparseGPT take the sorted score number ``k`` as the
threshold and prune what is *not above* it, which is one weight more than ``k``, and more still where scores tie.
These take exactly ``k``.

Each also returns a margin: the smallest relative gap between a score that was pruned and the next one that was
kept. A mask is only a fair question to float32 arithmetic where that gap is far above its rounding.
"""

import numpy as np


class Selection:
    """Selects the lowest scores and remembers how close it was."""

    def __init__(self):
        self.margin = np.inf

    def lowest(self, scores, k):
        """Returns True for the ``k`` lowest of a vector; of equal ones, the first."""
        order = np.argsort(scores, kind="stable")
        if 0 < k < len(scores):
            pruned, kept = scores[order[k - 1]], scores[order[k]]
            if kept > 0:
                self.margin = min(self.margin, (kept - pruned) / kept)
        chosen = np.zeros(len(scores), bool)
        chosen[order[:k]] = True
        return chosen


def magnitude(weight, *, sparsity=None, n=None, m=None):
    """Compares within the whole kernel."""
    scores = np.abs(weight.astype(np.float64))
    select = Selection()
    if n is None:
        pruned = select.lowest(scores.ravel(), int(scores.size * sparsity)).reshape(scores.shape)
    else:
        pruned = _neighbours(scores, n, m, select)
    return ~pruned, select.margin


def wanda(weight, inputs, *, sparsity=None, n=None, m=None):
    """Compares within an output; ``inputs`` is ``[sequences, tokens, d_in]``."""
    # A running mean over sequences of sums over tokens: the scale of a sequence's length stays in it.
    squares = np.zeros(inputs.shape[-1])
    for seen, sequence in enumerate(inputs.astype(np.float64)):
        squares *= seen / (seen + 1)
        squares += (np.linalg.norm(sequence, axis=0) ** 2) / (seen + 1)
    scores = np.abs(weight.astype(np.float64)) * np.sqrt(squares)
    select = Selection()
    if n is None:
        k = int(scores.shape[1] * sparsity)
        pruned = np.stack([select.lowest(row, k) for row in scores])
    else:
        pruned = _neighbours(scores, n, m, select)
    return ~pruned, select.margin


def sparsegpt(weight, inputs, *, sparsity=None, n=None, m=None, block_size=128, damping=0.01):
    """Compares within a block of inputs over all outputs; returns the new weights, the mask and the margin."""
    weight = weight.astype(np.float64).copy()
    d_in = weight.shape[1]
    upper = sparsegpt_factor(weight, sparsegpt_hessian(inputs), damping)
    mask = np.ones(weight.shape, bool)
    select = Selection()
    for start in range(0, d_in, block_size):
        end = min(start + block_size, d_in)
        block, corner = weight[:, start:end].copy(), upper[start:end, start:end]
        result, errors = np.zeros_like(block), np.zeros_like(block)
        diagonal = np.diag(corner)
        pruned = np.zeros(block.shape, bool)
        if n is None:
            scores = block**2 / diagonal**2
            pruned = select.lowest(scores.ravel(), int(scores.size * sparsity)).reshape(scores.shape)
        for i in range(end - start):
            if n is not None and i % m == 0:
                # From weights that the errors of all earlier inputs have moved already.
                scores = block[:, i : i + m] ** 2 / diagonal[i : i + m] ** 2
                pruned[:, i : i + m] = [select.lowest(row, m - n) for row in scores]
            result[:, i] = np.where(pruned[:, i], 0, block[:, i])
            errors[:, i] = (block[:, i] - result[:, i]) / diagonal[i]
            block[:, i:] -= np.outer(errors[:, i], corner[i, i:])
        weight[:, start:end] = result
        weight[:, end:] -= errors @ upper[start:end, end:]
        mask[:, start:end] = ~pruned
    return weight, mask, select.margin


def sparsegpt_hessian(inputs):
    """Twice the mean over *sequences* of the sum over tokens of ``x x^T``."""
    hessian = np.zeros((inputs.shape[-1],) * 2)
    for seen, sequence in enumerate(inputs.astype(np.float64)):
        hessian *= seen / (seen + 1)
        scaled = np.sqrt(2 / (seen + 1)) * sequence.T
        hessian += scaled @ scaled.T
    return hessian


def sparsegpt_factor(weight, hessian, damping):
    """Upper factor of the inverse; zeroes the weights of inputs that were never active, in place."""
    dead = np.diag(hessian) == 0
    # A 1 whatever the scale of the others, and it counts in the mean that sets the damping.
    hessian[dead, dead] = 1
    weight[:, dead] = 0
    hessian[np.diag_indices_from(hessian)] += damping * np.mean(np.diag(hessian))
    return np.linalg.cholesky(np.linalg.inv(hessian)).T


def _neighbours(scores, n, m, select):
    pruned = np.zeros(scores.shape, bool)
    for start in range(0, scores.shape[1], m):
        pruned[:, start : start + m] = [select.lowest(row, m - n) for row in scores[:, start : start + m]]
    return pruned
