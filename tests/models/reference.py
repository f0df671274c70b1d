"""Transformers' own model with the same tiny weights: what every family is held against."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers

from jaxprune.models import build_model
from jaxprune.models.causal_lm import CausalLM, block_section
from tests.tiny import VOCAB_SIZE, tiny_params, tiny_tensors

# The models are too small to be worth more than one thread.
torch.set_num_threads(1)


class Pair(NamedTuple):
    """One model twice: here, with its weights by section, and in PyTorch."""

    model: CausalLM
    params: dict[str, dict[str, np.ndarray]]
    theirs: Any


def make_pair(config: dict[str, Any], *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Pair:
    """Returns both models of ``config`` with the same random weights."""
    transformers_config = transformers.AutoConfig.for_model(**copy.deepcopy(config))
    theirs = transformers.AutoModelForCausalLM.from_config(transformers_config, attn_implementation="eager")
    tensors = {name: torch.tensor(array) for name, array in tiny_tensors(config, seed=seed).items()}
    missing, unexpected = theirs.load_state_dict(tensors, strict=False)
    assert not unexpected
    assert missing == (["lm_head.weight"] if transformers_config.tie_word_embeddings else [])
    return Pair(build_model(config), tiny_params(config, seed=seed), theirs.to(dtype).eval())


def random_tokens(length: int, *, count: int = 2) -> np.ndarray:
    """Returns token ids ``[count, length]``."""
    return np.random.default_rng(length).integers(0, VOCAB_SIZE, (count, length)).astype(np.int32)


def logits(
    pair: Pair, tokens: np.ndarray, *, transform: Callable[[Any], Any] = lambda function: function
) -> np.ndarray:
    """Returns this project's float32 logits, each function of the model run as ``transform`` makes it."""
    block, unembed = transform(pair.model.block), transform(pair.model.unembed)
    x = pair.model.embed(pair.params["embed"], tokens, np.float32)
    for index in range(pair.model.num_blocks):
        x, _ = block(pair.params[block_section(index)], pair.model.constants(index), x)
    return np.asarray(unembed(pair.params["head"], x))


def their_logits(pair: Pair, tokens: np.ndarray) -> np.ndarray:
    """Returns transformers' logits."""
    with torch.no_grad():
        return pair.theirs(torch.tensor(tokens)).logits.float().numpy()


class Record(NamedTuple):
    """What one PyTorch module was given and what it returned."""

    given: np.ndarray
    returned: np.ndarray


def record_modules(pair: Pair, tokens: np.ndarray) -> dict[str, Record]:
    """Runs transformers' model and returns what went into and came out of each of its modules, by name."""
    records = {}

    def hook(name):
        def keep(module, arguments, keywords, output):
            given = arguments[0] if arguments else keywords.get("hidden_states")
            output = output[0] if isinstance(output, tuple) else output
            if isinstance(output, torch.Tensor) and isinstance(given, torch.Tensor):
                records[name] = Record(given.numpy(), output.numpy())

        return keep

    handles = [
        module.register_forward_hook(hook(name), with_kwargs=True) for name, module in pair.theirs.named_modules()
    ]
    their_logits(pair, tokens)
    for handle in handles:
        handle.remove()
    return records


def assert_close(found: Any, wanted: Any, *, relative: float) -> None:
    """Fails unless the largest difference is at most ``relative`` of the root mean square of ``wanted``."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape
    scale = np.sqrt(np.mean(wanted**2))
    assert scale > 0
    worst = np.abs(found - wanted).max() / scale
    assert worst <= relative, f"relative error {worst:.2e}"
