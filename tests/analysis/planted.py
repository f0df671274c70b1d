"""A tiny Llama in which known neurons serve one language each, and nothing else happens."""

import numpy as np

from jaxprune.models import build_model
from jaxprune.models.causal_lm import CausalLM
from tests.tiny import VOCAB_SIZE, tiny_config, tiny_params, tiny_tensors

LANGUAGES = ("de", "en", "sw")
PLANTED = {"de": [(0, 3), (1, 7)], "en": [(0, 11), (0, 40)], "sw": [(1, 0), (1, 55)]}
TOP_RATE = 6 / 112
"""As many neurons as are planted."""

_FIRST = 3  # special tokens come before
_SHARE = (VOCAB_SIZE - _FIRST) // len(LANGUAGES)
_CONFIG = tiny_config("llama")


def planted_model() -> CausalLM:
    return build_model(_CONFIG)


def planted_params(*, seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Returns weights by section.

    A token's embedding is random, and has on the axis of its language 4, on those of the others -4. A planted neuron's
    gate reads its language's axis, and if it is open writes on another, from which the head predicts that language's
    tokens. All other neurons have random gates and write nothing; attention writes nothing.
    """
    rng = np.random.default_rng(seed)
    params = tiny_params(_CONFIG, seed=seed)
    table, head = params["embed"]["tokens/embedding"], params["head"]["output/kernel"]
    table[:] = rng.standard_normal(table.shape)
    table[:, :6] = [-4, -4, -4, 0, 0, 0]
    head[:] = 0
    for index in range(2):
        block = params[f"blocks/{index}"]
        block["o_proj/kernel"][:] = block["down_proj/kernel"][:] = 0
        block["gate_proj/kernel"][:] = rng.standard_normal(block["gate_proj/kernel"].shape)
        block["gate_proj/kernel"][:6] = 0
        block["up_proj/kernel"][:] = 0
        block["up_proj/kernel"][0] = 1
        block["mlp_norm/scale"][:] = 1
    params["head"]["norm/scale"][:] = 1
    for axis, language in enumerate(LANGUAGES):
        own = slice(_FIRST + axis * _SHARE, _FIRST + (axis + 1) * _SHARE)
        table[own, axis] = 4
        head[3 + axis, own] = 1
        for index, neuron in PLANTED[language]:
            block = params[f"blocks/{index}"]
            block["gate_proj/kernel"][:, neuron] = 0
            block["gate_proj/kernel"][axis, neuron] = 5
            # Times what up gives, which is negative where its axis is.
            block["up_proj/kernel"][:, neuron] = 0
            block["up_proj/kernel"][axis, neuron] = 1
            block["down_proj/kernel"][neuron, 3 + axis] = 1
    return params


def planted_tensors(*, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns the same by Hugging Face's names, in its shapes."""
    model, params = planted_model(), planted_params(seed=seed)
    tensors = dict(tiny_tensors(_CONFIG, seed=seed))
    for section, of_section in params.items():
        for path, (name, _, is_kernel) in model.tensors(section).items():
            tensors[name] = np.ascontiguousarray(of_section[path].T if is_kernel else of_section[path])
    return tensors


def planted_tokens(language: str, *, count: int, length: int, seed: int = 0) -> np.ndarray:
    """Returns windows of a language's own tokens, int32 ``[count, length]``."""
    start = _FIRST + LANGUAGES.index(language) * _SHARE
    rng = np.random.default_rng((seed, start))
    return rng.integers(start, start + _SHARE, (count, length)).astype(np.int32)
