"""Measures a checkpoint's perplexity in several languages."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh

from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.data import check_languages, open_texts
from jaxprune.data.calibration import check_vocabulary, refuse_overlap
from jaxprune.data.token_files import TOKENS
from jaxprune.data.windows import Windows, check_protocol, evaluation_windows, load_windows
from jaxprune.distributed import Arrays, share_out
from jaxprune.evaluation.perplexity import LanguagePerplexity, ScoredWindows, score_windows
from jaxprune.jobs.manifest import calibrations, read_manifest
from jaxprune.sweep import OnTokens


def prepare_windows(
    checkpoint: Checkpoint,
    texts: str,
    languages: Sequence[str],
    *,
    windows: int | None,
    length: int,
    protocol: str,
) -> dict[str, Windows]:
    """Returns the windows to score, by language; ``tokens:`` files have the one language ``tokens``.

    Args:
      windows: for each language; None: 64, or every row of a ``tokens:`` file.

    Raises:
      RequestError: a language or enough text is missing, or a window or a document served to calibrate this very
        model.
    """
    check_protocol(protocol)
    if texts.startswith(TOKENS):
        prepared = {"tokens": load_windows(texts.removeprefix(TOKENS), windows=windows)}
    else:
        source = open_texts(texts)
        check_languages(source, list(languages))
        tokenizer = checkpoint.tokenizer()

        def cut(language: str) -> Arrays:
            cut_out = evaluation_windows(
                source, tokenizer, language, windows=windows or 64, length=length, protocol=protocol
            )
            known = {} if cut_out.num_bytes is None else {"num_bytes": np.asarray(cut_out.num_bytes)}
            return {"tokens": cut_out.tokens_NT, "documents": np.asarray(cut_out.documents, np.str_), **known}

        # Of several processes each reads some of the languages.
        shared = share_out([functools.partial(cut, language) for language in languages])
        prepared = {
            language: Windows(
                arrays["tokens"],
                int(arrays["num_bytes"]) if "num_bytes" in arrays else None,
                tuple(arrays["documents"].tolist()),
            )
            for language, arrays in zip(languages, shared, strict=True)
        }
    for of_language in prepared.values():
        check_vocabulary(of_language.tokens_NT, checkpoint.model.config.vocab_size)
    check_unseen(checkpoint.reference, prepared)
    return prepared


def check_unseen(reference: str, windows: Mapping[str, Windows]) -> None:
    """Refuses windows that served to calibrate a model.

    Raises:
      RequestError: names the first such window.
    """
    for account in calibrations(read_manifest(reference)):
        for of_language in windows.values():
            refuse_overlap(of_language.tokens_NT, of_language.documents, account)


def total_work(checkpoint: Checkpoint, windows: Mapping[str, Windows]) -> int:
    """Returns the tokens that ``perplexity`` will report: once a block and once for the head."""
    tokens = sum(of_language.tokens_NT.size for of_language in windows.values())
    return tokens * (checkpoint.model.num_blocks + 1)


def perplexity(
    checkpoint: Checkpoint,
    windows: Mapping[str, Windows],
    *,
    mesh: Mesh,
    compute_dtype: np.dtype,
    host_bytes: int | None = None,
    on_tokens: OnTokens = lambda tokens: None,
) -> dict[str, LanguagePerplexity]:
    """Returns the perplexity of each language's windows, reading one block of the checkpoint at a time."""
    scored = score(
        checkpoint, windows, mesh=mesh, compute_dtype=compute_dtype, host_bytes=host_bytes, on_tokens=on_tokens
    )
    return {language: of_language.summarise() for language, of_language in scored.items()}


def score(
    checkpoint: Checkpoint,
    windows: Mapping[str, Windows],
    *,
    mesh: Mesh,
    compute_dtype: np.dtype,
    host_bytes: int | None = None,
    on_tokens: OnTokens = lambda tokens: None,
) -> dict[str, ScoredWindows]:
    """Returns what ``perplexity`` summarises: the likelihood of every window, by language."""
    return score_windows(
        checkpoint.parameters,
        checkpoint.model,
        windows,
        mesh=mesh,
        dtype=compute_dtype,
        host_bytes=host_bytes,
        on_tokens=on_tokens,
    )


def as_json(results: Mapping[str, LanguagePerplexity], windows: Mapping[str, Windows], texts: str) -> dict[str, Any]:
    """Returns what ``perplexity --json`` prints."""
    length = next(iter(windows.values())).tokens_NT.shape[1]
    languages = {language: dataclasses.asdict(result) for language, result in results.items()}
    return {"languages": languages, "length": length, "texts": texts}
