"""The tokens that end what a model generates, as its files name them."""

import transformers

from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.errors import RequestError


def stop_tokens(checkpoint: Checkpoint, tokenizer: transformers.PreTrainedTokenizerBase) -> frozenset[int]:
    """Returns the end tokens of the generation config, or else of the config, and the tokenizer's.

    Raises:
      RequestError: what one of them names as such is no token id.
    """
    key = "eos_token_id"
    named = checkpoint.generation_config().get(key)
    if named is None:
        named = checkpoint.config.get(key)
    ids = named if isinstance(named, list) else [named] if named is not None else []
    vocab_size = checkpoint.model.config.vocab_size
    for token in ids:
        if type(token) is not int or not 0 <= token < vocab_size:
            raise RequestError(
                f"{checkpoint.reference}: {key} = {named!r} names no token of {vocab_size}; correct it in "
                "generation_config.json or config.json."
            )
    own = tokenizer.eos_token_id
    return frozenset([*ids, own] if isinstance(own, int) else ids)
