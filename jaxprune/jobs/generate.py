"""Continues prompts with a checkpoint: from texts to texts."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import transformers
from jax.sharding import Mesh

from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.checkpoints.stop_tokens import stop_tokens
from jaxprune.data.tokenizing import tokenize
from jaxprune.distributed import agree, together
from jaxprune.errors import RequestError
from jaxprune.evaluation.generation import Generated, Generator
from jaxprune.evaluation.sampling import Sampling
from jaxprune.evaluation.token_ids import check_ids
from jaxprune.models.fields import with_defaults
from jaxprune.sweep import OnTokens


@dataclasses.dataclass(frozen=True)
class Prompts:
    """Texts, ready for a model.

    Attributes:
      texts: as they were given.
      tokens: int32 ids of each, with what the tokenizer or its chat template puts around them.
      tokenizer: made the ids, and makes texts of ids again.
      stop_tokens: with which a continuation ends.
    """

    texts: tuple[str, ...]
    tokens: tuple[np.ndarray, ...]
    tokenizer: transformers.PreTrainedTokenizerBase
    stop_tokens: frozenset[int]


def prepare_prompts(
    checkpoint: Checkpoint, texts: Sequence[str], *, max_new_tokens: int, is_chat: bool = False
) -> Prompts:
    """Tokenizes prompts, and refuses what the model cannot continue before its weights are read.

    Args:
      checkpoint: the model.
      texts: one or more.
      max_new_tokens: for which there is to be room.
      is_chat: whether each is the first message of a user, to be put into the tokenizer's chat template.

    Raises:
      RequestError: a prompt is empty, no text, or too long for the model; or there is no chat template.
    """
    for index, text in enumerate(texts):
        _check_text(index, text)
    tokenizer = checkpoint.tokenizer()
    if is_chat:
        tokens = [_in_template(tokenizer, text) for text in texts]
    else:
        tokens = [part.tokens_T for part in tokenize(tokenizer, list(texts), special_tokens=True, count_bytes=False)]
    context = with_defaults(checkpoint.config).get("max_position_embeddings")
    for index, of_text in enumerate(tokens):
        check_ids(f"prompt {index + 1}", of_text, vocab_size=checkpoint.model.config.vocab_size)
        if context is not None and of_text.size + max_new_tokens > context:
            room = context - of_text.size
            raise RequestError(
                f"prompt {index + 1} has {of_text.size} tokens, {max_new_tokens} new ones were asked for, and the "
                f"model was made for {context} in all (max_position_embeddings); shorten the prompt"
                + (f" or ask for at most {room} (--max-new-tokens)." if room > 0 else ".")
            )
    return Prompts(tuple(texts), tuple(tokens), tokenizer, stop_tokens(checkpoint, tokenizer))


def check_agreement(
    checkpoint: Checkpoint, prompts: Prompts, *, mesh: Mesh, dtype: np.dtype, max_new_tokens: int, sampling: Sampling
) -> None:
    """Checks that all processes were asked for the same, before they wait for each other.

    Raises:
      RequestError: in every process; names what differs.
    """
    agree(
        {
            "model": checkpoint.fingerprint,
            "prompts": list(prompts.texts),
            "tokens": [tokens_T.tolist() for tokens_T in prompts.tokens],
            "stop_tokens": sorted(prompts.stop_tokens),
            "mesh": dict(mesh.shape),
            "dtype": str(np.dtype(dtype)),
            "max_new_tokens": max_new_tokens,
            **dataclasses.asdict(sampling),
        }
    )


def load(
    checkpoint: Checkpoint,
    *,
    mesh: Mesh,
    dtype: np.dtype,
    on_section: Callable[[str], None] = lambda section: None,
) -> Generator:
    """Returns a generator with all of the checkpoint's weights, which have to fit into memory, in ``dtype``.

    Of several processes each reads what its devices are to hold.
    """
    with together():
        return Generator(checkpoint.parameters, checkpoint.model, mesh=mesh, dtype=dtype, on_section=on_section)


def generate(
    generator: Generator,
    prompts: Prompts,
    *,
    max_new_tokens: int,
    sampling: Sampling,
    on_tokens: OnTokens = lambda tokens: None,
) -> dict[str, Any]:
    """Continues prompts and returns what ``generate --json`` prints, in each of several processes."""
    generated = generator.generate(
        prompts.tokens,
        max_new_tokens=max_new_tokens,
        stop_tokens=prompts.stop_tokens,
        sampling=sampling,
        on_tokens=on_tokens,
    )
    return as_json(prompts, generated)


def as_json(prompts: Prompts, generated: Generated) -> dict[str, Any]:
    """Returns each prompt with its continuation, as text and as tokens, and the speed."""
    outputs = [
        {
            "prompt": text,
            "text": continuation_text(prompts.tokenizer, tokens_T, completion.tokens_T),
            "tokens": completion.tokens_T.tolist(),
            "stopped": completion.is_stopped,
        }
        for text, tokens_T, completion in zip(prompts.texts, prompts.tokens, generated.completions, strict=True)
    ]
    return {"outputs": outputs, "tokens_per_second": generated.tokens_per_second}


def continuation_text(tokenizer: transformers.PreTrainedTokenizerBase, prompt_T: np.ndarray, new_T: np.ndarray) -> str:
    """Returns what new tokens add to the text of a prompt, special tokens left out."""

    def text(tokens_T: np.ndarray) -> str:
        return str(tokenizer.decode(tokens_T, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    # Decoded alone, tokens of some tokenizers lose the space that they begin with.
    before, whole = text(prompt_T), text(np.concatenate([prompt_T, new_T]))
    return whole.removeprefix(before) if whole.startswith(before) else text(new_T)


def _check_text(index: int, text: str) -> None:
    if not text:
        raise RequestError(f"prompt {index + 1} is empty; give the text that is to be continued.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError(
            f"prompt {index + 1} is not valid UTF-8 (at character {error.start}); correct it."
        ) from error


def _in_template(tokenizer: transformers.PreTrainedTokenizerBase, text: str) -> np.ndarray:
    if not tokenizer.chat_template:
        raise RequestError(
            "the tokenizer has no chat template, so the model was hardly made to chat; leave --chat out, or add the "
            "template to its files (chat_template.jinja)."
        )
    try:
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=True, return_dict=False
        )
    except Exception as error:  # whatever a template does, and raises
        raise RequestError(f"the tokenizer's chat template cannot be filled in: {error}") from error
    return np.asarray(ids, np.int32)
