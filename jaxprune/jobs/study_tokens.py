"""How many tokens the tasks of a study take for one model, counted with that model's tokenizer before anything runs.

Shapes: T tokens.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from jaxprune.checkpoints import Checkpoint, open_cached
from jaxprune.data.tokenizing import tokenize, window_start
from jaxprune.errors import RequestError
from jaxprune.evaluation.scoring import count_tokens
from jaxprune.jobs.study_coverage import ItemsHere
from jaxprune.jobs.task_measures import Key, distinct_sentences, encode_choices, max_length, shortened_prompt
from jaxprune.sweep import OnTokens
from jaxprune.tasks import open_task
from jaxprune.tasks.items import Kind

# Texts tokenized in one call.
_TOGETHER = 64


@dataclasses.dataclass(frozen=True)
class TaskTokens:
    """What one model computes for the tasks that could be counted.

    Attributes:
      scoring: of choices, each after its context and alone, and of the sentences of retrieval, which go through a part
        of the blocks. What is there twice counts once, as it is computed once.
      prompts: of generation.
      generated: the most that may be generated.
      uncounted: by task, why its tokens, or those of some of its languages, are not among these.
    """

    scoring: int
    prompts: int
    generated: int
    uncounted: dict[str, str]


def count_task_tokens(
    reference: str, items: ItemsHere, on_start: Callable[[int], OnTokens] = lambda total: lambda items: None
) -> TaskTokens:
    """Returns the tokens of all items that are here, if the model is; fetches nothing.

    Args:
      reference: of the model.
      items: by task and language.
      on_start: told how many items there are; gives what is told of those that are counted.

    Raises:
      RequestError: an item does not fit the model.
    """
    here = {(task, language): of for task, each in items.items() for language, of in each.items() if of is not None}
    absent = {
        task: "the data come when the study runs"
        for task, each in items.items()
        if any(of is None for of in each.values())
    }
    if not here:
        return TaskTokens(0, 0, 0, absent)
    opened = _open(reference)
    if isinstance(opened, str):
        return TaskTokens(0, 0, 0, dict.fromkeys(items, opened))
    checkpoint, tokenizer = opened
    on_items = on_start(sum(map(len, here.values())))
    choices, pairs, prompts = (_of_kind(here, kind) for kind in ("choice", "retrieval", "generation"))
    scoring = _count_choices(checkpoint, tokenizer, choices, on_items)
    scoring += _count_sentences(checkpoint, tokenizer, pairs, on_items)
    return TaskTokens(
        scoring,
        _count_prompts(checkpoint, tokenizer, prompts, on_items),
        sum(item.max_new_tokens for of in prompts.values() for item in of),
        absent,
    )


def _open(reference: str) -> tuple[Checkpoint, PreTrainedTokenizerBase] | str:
    """Returns a model with its tokenizer; or why they cannot be had."""
    try:
        checkpoint = open_cached(reference)
        if checkpoint is None:
            return f"the tokenizer of {reference} is not on this machine"
        return checkpoint, checkpoint.tokenizer()
    except RequestError as error:
        return str(error)


def _of_kind(items: Mapping[Key, Sequence[Any]], kind: Kind) -> dict[Key, Sequence[Any]]:
    return {key: of for key, of in items.items() if open_task(key[0]).kind == kind}


def _count_choices(
    checkpoint: Checkpoint,
    tokenizer: PreTrainedTokenizerBase,
    items: Mapping[Key, Sequence[Any]],
    on_items: OnTokens,
) -> int:
    questions, limit = [], max_length(checkpoint)
    for of in items.values():
        for item in of:
            questions += encode_choices(tokenizer, item, max_length=limit)
            on_items(1)
    return count_tokens(checkpoint.model, questions)


def _count_sentences(
    checkpoint: Checkpoint,
    tokenizer: PreTrainedTokenizerBase,
    items: Mapping[Key, Sequence[Any]],
    on_items: OnTokens,
) -> int:
    limit = max_length(checkpoint)
    found = sum(len(tokens_T[:limit]) for tokens_T in _tokenized(tokenizer, distinct_sentences(items)))
    on_items(sum(map(len, items.values())))
    return found


def _count_prompts(
    checkpoint: Checkpoint,
    tokenizer: PreTrainedTokenizerBase,
    items: Mapping[Key, Sequence[Any]],
    on_items: OnTokens,
) -> int:
    found, start_T, limit = 0, window_start(tokenizer), max_length(checkpoint)
    for of in items.values():
        for item, tokens_T in zip(of, _tokenized(tokenizer, [item.prompt for item in of]), strict=True):
            found += len(shortened_prompt(tokens_T, start_T, limit, item.max_new_tokens))
            on_items(1)
    return found


def _tokenized(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> Iterator[Any]:
    """Yields the tokens of each text, as many at a time as keep the caller told."""
    for first in range(0, len(texts), _TOGETHER):
        for part in tokenize(tokenizer, texts[first : first + _TOGETHER], special_tokens=True, count_bytes=False):
            yield part.tokens_T
