"""From texts to token ids, in batches, and to the UTF-8 bytes that each token stands for.

Shapes: T tokens of a text.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64
from transformers import PreTrainedTokenizerBase

from jaxprune.data.sources import hash_document

SEPARATOR = "\n\n"
"""What stands between documents that are joined."""

BATCH_CHARACTERS = 2**20
"""Characters tokenized in one call: enough for the tokenizer's threads, little beside a model."""


class TokenizedText(NamedTuple):
    """One text as tokens.

    Attributes:
      tokens_T: token ids.
      bytes_T: UTF-8 bytes of the text for each token; they add up to the bytes of the text. None if they were
        not asked for, or if the tokenizer does not say where its tokens come from.
    """

    tokens_T: Int32[np.ndarray, " T"]
    bytes_T: Int64[np.ndarray, " T"] | None


def tokenize(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], *, special_tokens: bool, count_bytes: bool
) -> list[TokenizedText]:
    """Tokenizes each text on its own.

    Args:
      special_tokens: whether to add what the tokenizer puts around a text (BOS for many models).
      count_bytes: whether to fill ``bytes_T``.
    """
    if not texts:
        return []
    count_bytes = count_bytes and bool(tokenizer.is_fast)
    encoded = tokenizer(
        texts,
        add_special_tokens=special_tokens,
        padding=False,
        truncation=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        return_offsets_mapping=count_bytes,
        verbose=False,  # Texts longer than the model's window are the rule here: windows are cut from them.
    )
    offsets = encoded["offset_mapping"] if count_bytes else [None] * len(texts)
    return [
        TokenizedText(
            np.asarray(ids, np.int32),
            None if spans is None else _bytes_of_tokens(text, np.asarray(spans, np.int64).reshape(-1, 2)[:, 1]),
        )
        for text, ids, spans in zip(texts, encoded["input_ids"], offsets, strict=True)
    ]


def _bytes_of_tokens(text: str, end_T: Int64[np.ndarray, " T"]) -> Int64[np.ndarray, " T"]:
    """Returns the bytes between the end of the previous token and of this one, given in characters.

    So spaces that a tokenizer leaves out of its spans count for the token behind them; of several tokens that
    split a character, the first gets its bytes; special tokens, whose span is empty and at 0, get none; and
    what is left at the end of the text (spaces that a normalizer took away) counts for the last token.
    """
    if not end_T.size:
        return end_T
    codepoints = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    widths = 1 + (codepoints >= 0x80).astype(np.int64) + (codepoints >= 0x800) + (codepoints >= 0x10000)
    bytes_before = np.concatenate([[0], np.cumsum(widths)])
    ends = np.maximum.accumulate(end_T)
    ends[-1] = len(text)
    return np.diff(bytes_before[ends], prepend=0)


def window_start(tokenizer: PreTrainedTokenizerBase) -> Int32[np.ndarray, " T"]:
    """Returns the tokens that the tokenizer puts before a text: BOS for most models, none for some."""
    probe = "a"
    bare = tokenizer(probe, add_special_tokens=False)["input_ids"]
    full = tokenizer(probe, add_special_tokens=True)["input_ids"]
    begin = next((i for i in range(len(full)) if bare and full[i : i + len(bare)] == bare), 0)
    return np.asarray(full[:begin], np.int32)


def take(documents: Iterator[str], characters: int) -> list[str]:
    """Takes documents until they hold that many characters; at least one, unless there is none left."""
    taken: list[str] = []
    for document in documents:
        taken.append(document)
        characters -= len(document)
        if characters <= 0:
            break
    return taken


class Packed(NamedTuple):
    """Documents joined end to end.

    Attributes:
      tokens_T: token ids of all documents.
      bytes_T: UTF-8 bytes for each token, or None.
      documents: ``hash_document`` of each that was joined.
    """

    tokens_T: Int32[np.ndarray, " T"]
    bytes_T: Int64[np.ndarray, " T"] | None
    documents: tuple[str, ...]


def pack(
    tokenizer: PreTrainedTokenizerBase,
    documents: Iterator[str],
    num_tokens: int,
    *,
    count_bytes: bool = False,
) -> Packed:
    """Joins documents until they make ``num_tokens`` tokens, or until none is left; the last one is cut.

    Every document is tokenized alone, with ``SEPARATOR`` behind it and without special tokens, so what a
    document becomes does not depend on its neighbours. Blank documents are passed over.
    """
    tokens = [np.zeros(0, np.int32)]
    num_bytes = [np.zeros(0, np.int64)]
    joined: list[str] = []
    found = num_characters = 0
    while found < num_tokens:
        # The first eighth teaches how many characters make a token of this language.
        characters = (num_tokens - found) * num_characters / found if found else num_tokens / 8
        texts = take(documents, min(int(characters), BATCH_CHARACTERS))
        if not texts:
            break
        texts = [text + SEPARATOR for text in texts if text.strip()]
        for text, part in zip(
            texts, tokenize(tokenizer, texts, special_tokens=False, count_bytes=count_bytes), strict=True
        ):
            if found >= num_tokens:
                break
            tokens.append(part.tokens_T)
            if part.bytes_T is not None:
                num_bytes.append(part.bytes_T)
            found += part.tokens_T.size
            joined.append(hash_document(text))
            num_characters += len(text)
    counted = count_bytes and tokenizer.is_fast
    return Packed(
        np.concatenate(tokens)[:num_tokens],
        np.concatenate(num_bytes)[:num_tokens] if counted else None,
        tuple(joined),
    )
