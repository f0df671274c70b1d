"""What a model makes of the items of tasks, kind by kind: all tasks and languages of a kind in one go.

Shapes: N items.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh
from transformers import PreTrainedTokenizerBase

from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.checkpoints.stop_tokens import stop_tokens
from jaxprune.data.tokenizing import tokenize, window_start
from jaxprune.evaluation import retrieval, scoring
from jaxprune.evaluation.choices import choice_metrics
from jaxprune.evaluation.encoding import encode_question
from jaxprune.evaluation.generation import Generator
from jaxprune.evaluation.retrieval import nearest_is_own, sentence_vectors
from jaxprune.evaluation.trees import Question
from jaxprune.jobs.generate import continuation_text
from jaxprune.models.fields import with_defaults
from jaxprune.sweep import OnTokens
from jaxprune.tasks.items import METRICS, ChoiceItem, GenerationItem, RetrievalPair
from jaxprune.tasks.text_scores import score_text

OnStage = Callable[[str, int], OnTokens]
"""Told what begins and how many tokens it will report; gives the listener for them."""

Key = tuple[str, str]
"""Task and language."""

# Of a continuation's end so many tokens are looked at for a text that stops it.
_TAIL = 16


@dataclasses.dataclass(frozen=True)
class Measured:
    """What became of the items of one task in one language.

    Attributes:
      per_item: for each metric float64 ``[N]``.
      details: for each item what the model said.
      cut: items that lost the beginning of their context, being longer than the model was made for.
      empty: generations without a character; None where nothing is generated.
    """

    per_item: dict[str, np.ndarray]
    details: tuple[dict[str, Any], ...]
    cut: int = 0
    empty: int | None = None


def max_length(checkpoint: Checkpoint) -> int | None:
    """Returns the tokens that a model was made for, if its config says so."""
    return with_defaults(checkpoint.config).get("max_position_embeddings")


def measure_choices(
    checkpoint: Checkpoint,
    items: Mapping[Key, Sequence[ChoiceItem]],
    *,
    mesh: Mesh,
    dtype: np.dtype,
    on_stage: OnStage,
) -> dict[Key, Measured]:
    """Scores every choice after its context, and without any."""
    tokenizer, limit = checkpoint.tokenizer(), max_length(checkpoint)
    everything = [item for of_key in items.values() for item in of_key]
    encoded = [encode_choices(tokenizer, item, max_length=limit) for item in everything]
    conditional = [after_context for after_context, _ in encoded]
    asked = [*conditional, *(alone for _, alone in encoded)]
    scores = scoring.score_continuations(
        checkpoint.parameters,
        checkpoint.model,
        asked,
        mesh=mesh,
        dtype=dtype,
        on_tokens=on_stage("choices", scoring.total_work(checkpoint.model, asked)),
    )
    nats = [np.asarray([choice.nats for choice in of_question]) for of_question in scores]
    found = iter(zip(everything, conditional, nats[: len(everything)], nats[len(everything) :], strict=True))
    return {key: _chosen([next(found) for _ in of_key]) for key, of_key in items.items()}


def encode_choices(
    tokenizer: PreTrainedTokenizerBase, item: ChoiceItem, *, max_length: int | None
) -> tuple[Question, Question]:
    """Returns an item's choices after its context, and without any, with the white space that stands before them.

    Args:
      max_length: tokens that the model was made for; None for any number.

    Raises:
      RequestError: a choice has no tokens, or more than the model was made for.
    """
    space = item.context[len(item.context.rstrip()) :]
    alone = [space + choice for choice in item.choices]
    return (
        encode_question(tokenizer, item.context, item.choices, max_length=max_length),
        encode_question(tokenizer, "", alone, max_length=max_length),
    )


def _chosen(found: Sequence[tuple[ChoiceItem, Question, np.ndarray, np.ndarray]]) -> Measured:
    """Returns whether the answer is the choice that each metric makes."""
    right: dict[str, list[float]] = {name: [] for name in METRICS["choice"]}
    details = []
    for item, _, after_context, alone in found:
        by_metric = choice_metrics(after_context, alone, item.choices)
        chosen = {name: by_metric[name] for name in right}
        for name, choice in chosen.items():
            right[name].append(float(choice == item.answer))
        details.append({"answer": item.answer, "chosen": chosen, "nats": after_context.tolist()})
    return Measured(
        {name: np.asarray(of_metric, np.float64) for name, of_metric in right.items()},
        tuple(details),
        cut=sum(question.num_cut > 0 for _, question, *_ in found),
    )


def measure_retrieval(
    checkpoint: Checkpoint,
    items: Mapping[Key, Sequence[RetrievalPair]],
    *,
    block: int,
    mesh: Mesh,
    dtype: np.dtype,
    on_stage: OnStage,
) -> dict[Key, Measured]:
    """Looks for each sentence's translation among those of its task and language."""
    tokenizer, limit = checkpoint.tokenizer(), max_length(checkpoint)
    texts = distinct_sentences(items)
    place = {text: index for index, text in enumerate(texts)}
    whole = [part.tokens_T for part in tokenize(tokenizer, texts, special_tokens=True, count_bytes=False)]
    sentences = [tokens_T[:limit] for tokens_T in whole]
    num_leading = len(window_start(tokenizer))
    total = retrieval.total_work(sentences, num_leading, block, mesh=mesh)
    vectors_ND = sentence_vectors(
        checkpoint.parameters,
        checkpoint.model,
        sentences,
        num_leading=num_leading,
        block=block,
        mesh=mesh,
        dtype=dtype,
        on_tokens=on_stage("retrieval", total),
    )
    measured = {}
    for key, pairs in items.items():
        sources = [place[pair.source] for pair in pairs]
        targets = [place[pair.target] for pair in pairs]
        measured[key] = Measured(
            {
                name: nearest_is_own(vectors_ND[sources], vectors_ND[targets], centred=centred)
                for name, centred in (("acc", False), ("acc_centred", True))
            },
            tuple({} for _ in pairs),
            cut=sum(len(whole[index]) > len(sentences[index]) for index in sources + targets),
        )
    return measured


def distinct_sentences(items: Mapping[Key, Sequence[RetrievalPair]]) -> list[str]:
    """Returns the sentences of all pairs, each once."""
    return list(
        dict.fromkeys(text for pairs in items.values() for pair in pairs for text in (pair.source, pair.target))
    )


def measure_generation(
    checkpoint: Checkpoint,
    items: Mapping[Key, Sequence[GenerationItem]],
    *,
    mesh: Mesh,
    dtype: np.dtype,
    on_stage: OnStage,
) -> dict[Key, Measured]:
    """Continues each prompt greedily, and scores what it becomes against its references."""
    tokenizer = checkpoint.tokenizer()
    everything = [(key, index, item) for key, of_key in items.items() for index, item in enumerate(of_key)]
    prompts = tokenize(tokenizer, [item.prompt for *_, item in everything], special_tokens=True, count_bytes=False)
    start_T, limit = window_start(tokenizer), max_length(checkpoint)
    ends = stop_tokens(checkpoint, tokenizer)
    generator = Generator(
        checkpoint.read,
        checkpoint.model,
        mesh=mesh,
        dtype=dtype,
        on_section=_one_by_one(on_stage("read", len(checkpoint.model.sections))),
    )
    on_tokens = on_stage("generate", sum(item.max_new_tokens for *_, item in everything))
    texts: dict[tuple[Key, int], str] = {}
    cut: set[tuple[Key, int]] = set()
    alike: dict[tuple[tuple[str, ...], int], list[int]] = {}
    for number, (*_, item) in enumerate(everything):
        alike.setdefault((item.stop, item.max_new_tokens), []).append(number)
    for (stop, max_new_tokens), numbers in alike.items():
        shortened = []
        for number in numbers:
            tokens_T = shortened_prompt(prompts[number].tokens_T, start_T, limit, max_new_tokens)
            shortened.append(tokens_T)
            if len(tokens_T) < len(prompts[number].tokens_T):
                cut.add(everything[number][:2])

        def is_complete(tokens: Sequence[int], stop: tuple[str, ...] = stop) -> bool:
            tail = str(tokenizer.decode(list(tokens[-_TAIL:]), skip_special_tokens=True))
            return any(text in tail for text in stop)

        generated = generator.generate(
            shortened,
            max_new_tokens=max_new_tokens,
            stop_tokens=ends,
            is_complete=is_complete,
            on_tokens=on_tokens,
        )
        for number, tokens_T, completion in zip(numbers, shortened, generated.completions, strict=True):
            text = continuation_text(tokenizer, tokens_T, completion.tokens_T)
            texts[everything[number][:2]] = _until(text, stop)
    return {key: _scored(key, of_key, texts, cut) for key, of_key in items.items()}


def _one_by_one(on_tokens: OnTokens) -> Callable[[str], None]:
    return lambda section: on_tokens(1)


def shortened_prompt(tokens_T: np.ndarray, start_T: np.ndarray, limit: int | None, max_new_tokens: int) -> np.ndarray:
    """Returns a prompt's tokens without those of its beginning that leave no room; what starts a text is kept."""
    room = np.inf if limit is None else limit - max_new_tokens
    if len(tokens_T) <= room:
        return tokens_T
    kept = int(max(1, room - len(start_T)))
    return np.concatenate([start_T, tokens_T[len(start_T) :][-kept:]])


def _until(text: str, stop: Sequence[str]) -> str:
    ends = [text.index(one) for one in stop if one in text]
    return text[: min(ends, default=len(text))].strip()


def _scored(
    key: Key, items: Sequence[GenerationItem], texts: Mapping[tuple[Key, int], str], cut: set[tuple[Key, int]]
) -> Measured:
    said = [texts[key, index] for index in range(len(items))]
    scores = [score_text(text, item.references) for text, item in zip(said, items, strict=True)]
    return Measured(
        {name: np.asarray([score[name] for score in scores], np.float64) for name in scores[0]},
        tuple({"text": text} for text in said),
        cut=sum(of == key for of, _ in cut),
        empty=sum(not text for text in said),
    )
