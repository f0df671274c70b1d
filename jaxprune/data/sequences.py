"""Calibration sequences with an account of what they are, and checks on token ids.

Shapes: N sequences, T tokens in each.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int32

from jaxprune.errors import RequestError


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Token ids that pruning looks at.

    Attributes:
      tokens_NT: token ids.
      languages: one for each sequence, sequences of a language side by side.
      account: what was used, for the manifest: ``texts``, ``fill``, ``seed``, ``length``, ``sequences``,
        ``sha256`` of the ids (little-endian int32, row by row), ``languages`` (``sequences``, ``documents``
        and ``tokens`` of each), ``sequence_hashes`` (``hash_sequence`` of each row) and ``document_hashes``
        (``hash_document`` of each document).
    """

    tokens_NT: Int32[np.ndarray, "N T"]
    languages: tuple[str, ...]
    account: dict[str, Any]


def make_calibration(
    tokens: Mapping[str, Int32[np.ndarray, "..."]],
    *,
    texts: str,
    documents: Mapping[str, Sequence[str] | None],
    fill: str | None,
    seed: int | None,
) -> Calibration:
    """Joins each language's ``[n, T]`` sequences and writes the account.

    Args:
      texts: reference of the source.
      documents: ``hash_document`` of those that were used, by language; None where nobody knows.
    """
    counts = {language: None if hashes is None else len(hashes) for language, hashes in documents.items()}
    tokens_NT = np.ascontiguousarray(np.concatenate(list(tokens.values())))
    length = tokens_NT.shape[1]
    account = {
        "texts": texts,
        "fill": fill,
        "seed": seed,
        "length": length,
        "sequences": len(tokens_NT),
        "sha256": hashlib.sha256(tokens_NT.astype("<i4").tobytes()).hexdigest(),
        "languages": {
            language: {"sequences": len(rows), "documents": counts[language], "tokens": len(rows) * length}
            for language, rows in tokens.items()
        },
        "sequence_hashes": [hash_sequence(row) for row in tokens_NT],
        "document_hashes": [name for hashes in documents.values() for name in hashes or ()],
    }
    return Calibration(tokens_NT, tuple(language for language, rows in tokens.items() for _ in rows), account)


def hash_sequence(tokens_T: Int32[np.ndarray, " T"]) -> str:
    """Returns 16 hexadecimal digits of the sha256 of a sequence's ids as little-endian int32."""
    return hashlib.sha256(tokens_T.astype("<i4").tobytes()).hexdigest()[:16]


def refuse_overlap(windows_NT: Int32[np.ndarray, "N T"], documents: Sequence[str], account: Mapping[str, Any]) -> None:
    """Checks that a model is not measured on what it was calibrated on.

    Sources keep calibration and evaluation apart; but a set that is stored in two splits may have a document in both,
    and the two may be asked of different sources. Ids without documents (``tokens:``) are compared by whole windows.

    Args:
      windows_NT: evaluation windows.
      documents: ``hash_document`` of those that the windows were cut from; none where nobody knows.
      account: ``Calibration.account``, as it stands in a manifest.

    Raises:
      RequestError: a window is a calibration sequence, or a document served both.
    """
    texts = account.get("texts")
    seen = {digest: index for index, digest in enumerate(account.get("sequence_hashes", ()))}
    for index, row in enumerate(windows_NT):
        sequence = seen.get(hash_sequence(row))
        if sequence is not None:
            raise RequestError(
                f"evaluation window {index} is calibration sequence {sequence} (of {texts}); "
                "measure on text that pruning has not seen."
            )
    common = set(documents) & set(account.get("document_hashes", ()))
    if common:
        raise RequestError(
            f"{len(common)} of the {len(set(documents))} documents to measure on served to calibrate this model "
            f"(from {texts}); remove them from one of the two splits, or measure on text that pruning has not seen."
        )


def check_vocabulary(tokens_NT: Int32[np.ndarray, "N T"], vocab_size: int) -> None:
    """Checks that a model of that vocabulary can embed every id.

    Raises:
      RequestError: names the first id that is out of range, and its row.
    """
    wrong = np.argwhere((tokens_NT < 0) | (tokens_NT >= vocab_size))
    if len(wrong):
        row, column = map(int, wrong[0])
        raise RequestError(
            f"token id {tokens_NT[row, column]} (row {row}, position {column}) is outside the model's "
            f"vocabulary of {vocab_size} ids; use ids of the tokenizer that belongs to the model."
        )
