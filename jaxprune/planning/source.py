"""A model that is to be pruned, as far as it is known without its weights."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxprune.errors import RequestError
from jaxprune.models import build_model
from jaxprune.models.causal_lm import CausalLM, Tensor

_DTYPES = ("float32", "bfloat16", "float16")

Dtypes = Callable[[str], Mapping[str, np.dtype]]
"""Gives the dtype of every parameter of a section."""


class Source(NamedTuple):
    """What is known of a model.

    Attributes:
      model: its shape.
      dtypes: in which its weights are stored.
    """

    model: CausalLM
    dtypes: Dtypes

    def with_dtype(self, dtype: np.dtype | None) -> "Source":
        """Returns it with all weights in ``dtype``; None: as they are."""
        return self if dtype is None else uniform(self.model, dtype)


def uniform(model: CausalLM, dtype: np.dtype) -> Source:
    """Returns a model whose weights all have one dtype."""
    return Source(model, lambda section: dict.fromkeys(model.tensors(section), dtype))


def source_of_config(config: Mapping[str, Any], what: str) -> Source:
    """Returns what a ``config.json`` says; one that names no dtype means float32, as it does to transformers.

    Args:
      what: names it in messages.

    Raises:
      RequestError: it describes no model that is supported, or a dtype that no weights have.
    """
    name = config.get("dtype") or config.get("torch_dtype") or "float32"
    if name not in _DTYPES:
        raise RequestError(f"{what} says dtype {name!r}; weights can be {', '.join(_DTYPES)}: correct it.")
    return uniform(build_model(config), jnp.dtype(name))


def num_bytes(tensors: Mapping[str, Tensor], dtypes: Mapping[str, np.dtype]) -> int:
    """Returns what tensors take, whole."""
    return sum(int(np.prod(tensor.shape)) * dtypes[path].itemsize for path, tensor in tensors.items())
