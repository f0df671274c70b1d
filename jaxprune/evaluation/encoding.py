"""From a context and choices as text to a question in tokens, by the rules of lm-evaluation-harness.

Shapes: T tokens.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32
from transformers import PreTrainedTokenizerBase

from jaxprune.data.tokenizing import tokenize, window_start
from jaxprune.errors import RequestError
from jaxprune.evaluation.trees import Question, common_prefix


def encode_question(
    tokenizer: PreTrainedTokenizerBase, context: str, choices: Sequence[str], *, max_length: int | None
) -> Question:
    """Tokenizes a context with each choice behind it, and parts them where the context alone ends.

    White space at the end of the context goes to the choices, because most tokenizers make one token of a space and the
    word behind it. What the tokenizer puts before a text (BOS) is there exactly where it puts it, and not twice where
    the context spells it out; without any context, the prefix token stands for one.

    lm-evaluation-harness scores what stands behind as many tokens as the context alone has. Where a token spans the
    border, as is common in scripts without spaces, that leaves a part of the choice out; here the whole token is
    the choice's, and the context ends before it, for all choices. And if the whole is too long, here all choices lose
    the same part of the context, and BOS is kept.

    Args:
      tokenizer: the model's.
      context: may be empty.
      choices: texts that may follow it; a space that belongs between has to be in them.
      max_length: tokens that the model was made for; None for any number.

    Raises:
      RequestError: a choice has no tokens, or more than the model was made for; or there is no context, and no token
        to begin with.
    """
    behind = context[len(context.rstrip()) :]
    context = context.removesuffix(behind)
    texts = [context, *(context + behind + choice for choice in choices)]
    alone_T, *wholes = (part.tokens_T for part in tokenize(tokenizer, texts, special_tokens=False, count_bytes=False))
    num_shared = common_prefix([alone_T, *wholes]) if choices else len(alone_T)
    start_T = _start(tokenizer, context, is_empty=num_shared == 0)
    continuations = tuple(whole_T[num_shared:] for whole_T in wholes)
    for index, (choice, tokens_T) in enumerate(zip(choices, continuations, strict=True)):
        if not tokens_T.size:
            raise RequestError(f"choice {index + 1}, {choice!r}, has no tokens; give a text that adds to its context.")
    # The last token of a choice is predicted, and not read.
    room = np.inf if max_length is None else max_length - max(map(len, continuations), default=1) + 1
    if room < len(start_T) + (num_shared > 0):
        longest = max(continuations, key=len)
        raise RequestError(
            f"choice {[*map(len, continuations)].index(len(longest)) + 1} has {len(longest)} tokens, and the model was "
            f"made for {max_length}, its context included; shorten it."
        )
    num_cut = int(max(0, len(start_T) + num_shared - room))
    shared_T = alone_T[num_cut:num_shared]
    return Question(np.concatenate([start_T, shared_T]), continuations, num_cut)


def prefix_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """Returns the token that stands for an empty context: BOS, or else EOS.

    Raises:
      RequestError: the tokenizer has neither.
    """
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if isinstance(token, int):
            return token
    raise RequestError(
        "the tokenizer names neither a BOS nor an EOS token, and without a context there is nothing to predict a text "
        "from; name one in tokenizer_config.json, or give a context."
    )


def _start(tokenizer: PreTrainedTokenizerBase, context: str, *, is_empty: bool) -> Int32[np.ndarray, " T"]:
    """Returns what stands before the tokens of the text."""
    if tokenizer.bos_token and context.startswith(str(tokenizer.bos_token)):
        return np.zeros(0, np.int32)
    start_T = window_start(tokenizer)
    return np.asarray([prefix_token(tokenizer)], np.int32) if is_empty and not start_T.size else start_T
