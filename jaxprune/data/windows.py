"""Evaluation windows: token ids to be predicted, and how many bytes of text they stand for.

Shapes: N windows, T tokens in each, S tokens of a stream of text.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Int64
from transformers import PreTrainedTokenizerBase

from jaxprune.data.sources import TextSource, hash_document
from jaxprune.data.token_files import read_tokens
from jaxprune.data.tokenizing import SEPARATOR, pack, take, tokenize, window_start
from jaxprune.errors import RequestError

PROTOCOLS = ("windows", "published")

# From these the published protocol learns how many characters make a token.
_FIRST_CHARACTERS = 2**17


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows of one language, scored from their second token on.

    Attributes:
      tokens_NT: token ids.
      num_bytes: UTF-8 bytes of the text that the predicted tokens (all but each window's first) stand for;
        None for ids without text, and for tokenizers that do not say where their tokens come from.
      documents: ``hash_document`` of those that were read for them; none for ids without text.
    """

    tokens_NT: Int32[np.ndarray, "N T"]
    num_bytes: int | None
    documents: tuple[str, ...] = ()


def check_protocol(protocol: str) -> None:
    """Raises RequestError for a protocol that does not exist."""
    if protocol not in PROTOCOLS:
        raise RequestError(f"there is no protocol {protocol!r}; choose {' or '.join(PROTOCOLS)}.")


def evaluation_windows(
    source: TextSource,
    tokenizer: PreTrainedTokenizerBase,
    language: str,
    *,
    windows: int,
    length: int,
    protocol: str,
) -> Windows:
    """Cuts the first ``windows`` windows out of a language's evaluation text, taken in the source's order.

    Args:
      length: tokens in a window, BOS among them where there is one.
      protocol: ``windows``: documents joined as packed calibration joins them, every window beginning with
        BOS exactly where the tokenizer adds one. ``published``: all texts joined by two newlines and
        tokenized once, special tokens as the tokenizer adds them; what does not fill a window is dropped.

    Raises:
      RequestError: the language is missing, there is too little text (says how many windows there are), or a
        number makes no sense.
    """
    check_protocol(protocol)
    asked = f"{windows} {'window' if windows == 1 else 'windows'} of {length} tokens"
    start = window_start(tokenizer) if protocol == "windows" else np.zeros(0, np.int32)
    if windows < 1 or length < 2 or length <= len(start):
        raise RequestError(
            f"{asked} {'leaves' if windows == 1 else 'leave'} nothing to predict; ask for 1 or more (--windows) "
            f"of {max(2, len(start) + 1)} or more tokens (--length)."
        )
    documents = iter(source.documents(language, "evaluation", seed=None))
    width = length - len(start)
    if protocol == "windows":
        tokens_S, bytes_S, read = pack(tokenizer, documents, windows * width, count_bytes=True)
    else:
        tokens_S, bytes_S, read = _tokenize_joined(tokenizer, documents, windows * width)
    if tokens_S.size < windows * width:
        fewer = "fewer (--windows) or " if tokens_S.size >= width else ""
        raise RequestError(
            f"{language} of {source.reference}: {asked} {'was' if windows == 1 else 'were'} asked for, but its "
            f"text for evaluation ({tokens_S.size} tokens) makes {tokens_S.size // width}; ask for {fewer}"
            "shorter ones (--length), or give more text."
        )
    tokens_NT = np.concatenate(
        [np.broadcast_to(start, (windows, len(start))), tokens_S[: windows * width].reshape(windows, width)],
        axis=1,
    )
    num_bytes = _predicted_bytes(bytes_S, windows, width, first_is_predicted=len(start) > 0)
    return Windows(tokens_NT, num_bytes, read)


def load_windows(path: Path | str, *, windows: int | None) -> Windows:
    """Reads windows from ``tokens:FILE.npy``: the first ``windows`` rows, or all.

    Raises:
      RequestError: see ``read_tokens``; or rows of one token, in which nothing is predicted.
    """
    tokens_NT = read_tokens(Path(path), rows=windows)
    if tokens_NT.shape[1] < 2:
        raise RequestError(f"tokens:{path} has rows of one token, in which nothing is predicted; give 2 or more.")
    return Windows(tokens_NT, None)


def _tokenize_joined(
    tokenizer: PreTrainedTokenizerBase, documents: Iterator[str], num_tokens: int
) -> tuple[Int32[np.ndarray, " S"], Int64[np.ndarray, " S"] | None, tuple[str, ...]]:
    """Tokenizes the texts joined, of a long text little more than the tokens need; also returns which they were.

    The tokens that are used end before the last document that is joined and not blank, so they are those of
    the whole text, however long.
    """
    texts: list[str] = []
    characters = min(2 * num_tokens, _FIRST_CHARACTERS)
    while True:
        batch = take(documents, characters)
        texts += batch
        joined = SEPARATOR.join(texts)
        # White space at the end of a text is tokenized otherwise than before a word: a blank document ends
        # nothing.
        last = next((index for index in reversed(range(len(texts))) if texts[index].strip()), 0)
        ending = SEPARATOR.join(texts[last:])
        whole, unsafe = tokenize(tokenizer, [joined, ending], special_tokens=True, count_bytes=True)
        found = whole.tokens_T.size - unsafe.tokens_T.size
        if not batch or found >= num_tokens:
            return whole.tokens_T, whole.bytes_T, tuple(hash_document(text) for text in texts if text.strip())
        characters = int((num_tokens - found) * len(joined) / max(whole.tokens_T.size, 1)) + 1


def _predicted_bytes(
    bytes_S: Int64[np.ndarray, " S"] | None, windows: int, width: int, *, first_is_predicted: bool
) -> int | None:
    if bytes_S is None:
        return None
    of_text = bytes_S[: windows * width].reshape(windows, width)
    return int(of_text[:, 0 if first_is_predicted else 1 :].sum())
