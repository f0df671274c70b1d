"""Names for the trees that travel through the project."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Array

Params = Mapping[str, Array | np.ndarray | Any]
"""Weights of one section, flat: ``"attention/q_proj/kernel"`` -> array. Kernels are ``[d_in, d_out]``."""

Constants = Mapping[str, Array | np.ndarray | Any]
"""What differs from block to block without being a weight (rotary frequencies, attention window)."""

Activations = Mapping[str, Array | Any]
"""Named intermediate values of one block, ``[B, T, width]``: among them the input of every linear."""
