"""Draws calibration sequences from text: which documents, which windows of them, how many of each language.

Shapes: N sequences, T tokens in each.
"""

import functools
import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Int32
from transformers import PreTrainedTokenizerBase

from jaxprune.data.mixtures import parse_mix
from jaxprune.data.sequences import Calibration, check_vocabulary, make_calibration, refuse_overlap
from jaxprune.data.sources import TextSource, check_languages, hash_document
from jaxprune.data.token_files import load_tokens
from jaxprune.data.tokenizing import BATCH_CHARACTERS, pack, take, tokenize, window_start
from jaxprune.distributed import Arrays, share_out
from jaxprune.errors import RequestError

__all__ = [
    "FILLS",
    "Calibration",
    "check_draw",
    "check_vocabulary",
    "draw_calibration",
    "load_tokens",
    "parse_mix",
    "refuse_overlap",
]

FILLS = ("packed", "document")


def draw_calibration(
    source: TextSource,
    tokenizer: PreTrainedTokenizerBase,
    mix: Mapping[str, int],
    *,
    length: int,
    seed: int,
    fill: str,
) -> Calibration:
    """Draws ``mix[language]`` sequences of ``length`` tokens for each language; no document serves twice.

    Of several processes each reads some of the languages.

    Args:
      fill: ``document``: a random window of a random document whose tokenization is longer than the window,
        as published (Sun et al., 2023, https://arxiv.org/abs/2306.11695); special tokens only where the
        window happens to begin at the document's start. ``packed``: documents joined end to end and cut; each
        window begins with BOS exactly where the tokenizer adds one.
      seed: decides the order of documents and the place of windows, through sha256 for local text; hub sets
        are shuffled by ``datasets``.

    Raises:
      RequestError: a language is missing, there is too little text (says how much there is), or a number
        makes no sense.
    """
    check_draw(fill, seed)
    start = window_start(tokenizer)
    if length <= len(start):
        raise RequestError(f"windows of {length} tokens hold no text; ask for {len(start) + 1} or more (--length).")
    check_languages(source, list(mix))
    draw = _draw_packed if fill == "packed" else _draw_windows

    def draw_language(language: str) -> Arrays:
        stream = iter(source.documents(language, "calibration", seed=seed))
        label = f"{language} of {source.reference}"
        tokens_NT, documents = draw(tokenizer, stream, mix[language], length, label=label, seed=seed)
        return {"tokens": tokens_NT, "documents": np.asarray(documents)}

    drawn = share_out([functools.partial(draw_language, language) for language in mix])
    by_language = dict(zip(mix, drawn, strict=True))
    return make_calibration(
        {language: of_language["tokens"] for language, of_language in by_language.items()},
        texts=source.reference,
        documents={language: tuple(of_language["documents"].tolist()) for language, of_language in by_language.items()},
        fill=fill,
        seed=seed,
    )


def check_draw(fill: str, seed: int) -> None:
    """Raises RequestError for a fill that does not exist or a seed that is no number from 0 on."""
    if fill not in FILLS:
        raise RequestError(f"there is no fill {fill!r}; choose {' or '.join(FILLS)}.")
    if seed < 0:
        raise RequestError(f"the seed is {seed}; give 0 or more.")


def _draw_packed(
    tokenizer: PreTrainedTokenizerBase,
    documents: Iterator[str],
    count: int,
    length: int,
    *,
    label: str,
    seed: int,
) -> tuple[Int32[np.ndarray, "N T"], tuple[str, ...]]:
    """Returns the sequences and the documents, by ``hash_document``, that they are made of."""
    start = window_start(tokenizer)
    width = length - len(start)
    packed = pack(tokenizer, documents, count * width)
    if packed.tokens_T.size < count * width:
        fewer = "fewer (--samples) or " if packed.tokens_T.size >= width else ""
        raise RequestError(
            f"{label}: {count} sequences of {length} tokens were asked for, but its {len(packed.documents)} "
            f"documents for calibration hold {packed.tokens_T.size} tokens, enough for "
            f"{packed.tokens_T.size // width}; ask for {fewer}shorter ones (--length), or give more text."
        )
    rows = packed.tokens_T.reshape(count, width)
    return np.concatenate([np.broadcast_to(start, (count, len(start))), rows], axis=1), packed.documents


def _draw_windows(
    tokenizer: PreTrainedTokenizerBase,
    documents: Iterator[str],
    count: int,
    length: int,
    *,
    label: str,
    seed: int,
) -> tuple[Int32[np.ndarray, "N T"], tuple[str, ...]]:
    """Returns the sequences and the document, by ``hash_document``, that each lies in."""
    rows: list[np.ndarray] = []
    chosen: list[str] = []
    seen = num_tokens = 0
    while len(rows) < count:
        texts = take(documents, min((count - len(rows)) * length, BATCH_CHARACTERS))
        if not texts:
            fewer = "fewer (--samples) or " if rows else ""
            raise RequestError(
                f"{label}: {count} documents of more than {length} tokens were asked for, but only "
                f"{len(rows)} of its {seen} documents for calibration are that long ({num_tokens} tokens in "
                f"all); ask for {fewer}shorter windows (--length), or let documents be joined "
                "(--fill packed)."
            )
        tokenized_texts = tokenize(tokenizer, texts, special_tokens=True, count_bytes=False)
        for text, tokenized in zip(texts, tokenized_texts, strict=True):
            position, seen = seen, seen + 1
            spare = tokenized.tokens_T.size - length
            num_tokens += tokenized.tokens_T.size
            if spare > 0:
                begin = _uniform(spare + 1, seed, position)
                rows.append(tokenized.tokens_T[begin : begin + length])
                chosen.append(hash_document(text))
    return np.stack(rows[:count]), tuple(chosen[:count])


def _uniform(num: int, seed: int, position: int) -> int:
    """Returns a number below ``num`` for the document at that position of the seeded order."""
    digest = hashlib.sha256(f"window {seed}:{position}".encode()).digest()
    return int.from_bytes(digest, "little") % num
