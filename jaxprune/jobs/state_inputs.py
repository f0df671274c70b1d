"""What the analyses of hidden states and of neurons read: models of one shape, and text that none of them has seen."""

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh

from jaxprune.analysis.lockstep import Lockstep
from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.data.token_files import TOKENS
from jaxprune.data.tokenizing import tokenize, window_start
from jaxprune.data.windows import Windows
from jaxprune.distributed import agree, first_then_others
from jaxprune.errors import RequestError
from jaxprune.jobs.settings import parse_languages
from jaxprune.jobs.shared_text import prepare_shared_windows
from jaxprune.tasks.parallel import parallel_sentences

LEAST_TOKENS = 1000
"""Tokens of a language at least, of which a share is then known with a standard error of 1.6 % or less, and a mean to
3 % of the tokens' spread."""


LEAST_HALVED = 8
"""Windows of a language at least, of which one half chooses neurons and the other judges their silence: the interval of
a mean of fewer than four is too wide to tell anything."""


@dataclasses.dataclass(frozen=True)
class StateInputs:
    """Text for several models.

    Attributes:
      texts: where it is from.
      windows: by language.
      num_leading: tokens at the beginning of each window, and of each sentence, that are not the text's own.
      sentences: the same sentences by language, as token ids; empty without.
    """

    texts: str
    windows: Mapping[str, Windows]
    num_leading: int
    sentences: Mapping[str, list[np.ndarray]]

    @property
    def languages(self) -> tuple[str, ...]:
        """Those of the windows."""
        return tuple(self.windows)

    @property
    def own_tokens(self) -> dict[str, int]:
        """Tokens of each language that are counted."""
        return {
            language: of.tokens_NT.shape[0] * (of.tokens_NT.shape[1] - self.num_leading)
            for language, of in self.windows.items()
        }

    @property
    def num_windows(self) -> int:
        """Those of all languages."""
        return sum(len(of.tokens_NT) for of in self.windows.values())

    @property
    def num_tokens(self) -> int:
        """Those of all windows, leading ones too."""
        return sum(of.tokens_NT.size for of in self.windows.values())

    def as_json(self) -> dict[str, Any]:
        """Returns where the text is from, and how much there is."""
        width = next(iter(self.windows.values())).tokens_NT.shape[1]
        return {"texts": self.texts, "languages": list(self.languages), "tokens": self.own_tokens, "length": width}

    @property
    def flat_sentences(self) -> list[np.ndarray]:
        """All sentences, language after language."""
        return [tokens_T for of_language in self.sentences.values() for tokens_T in of_language]


def parse_compared(texts: str | None, languages: str | None) -> list[str]:
    """Returns the languages that are to be compared.

    Raises:
      RequestError: there is no text with languages, or fewer than two of them.
    """
    if texts is None:
        raise RequestError("no text was named; say where it comes from with --texts, for example --texts sample.")
    if texts.startswith(TOKENS):
        raise RequestError(f"{texts} has no languages, which are compared here; name a source of text with --texts.")
    asked = parse_languages(languages)
    if len(asked) < 2:
        raise RequestError(
            f"languages are compared, and {', '.join(asked)} was asked for; name two or more with --languages."
        )
    return asked


def prepare_states(
    checkpoints: Sequence[Checkpoint],
    texts: str,
    languages: Sequence[str],
    *,
    windows: int,
    length: int,
    sentences: str = "none",
    num_sentences: int = 0,
    is_halved: bool = False,
) -> StateInputs:
    """Returns the text for all models, tokenized once.

    Args:
      checkpoints: the first is what the others are compared with.
      windows: for each language.
      sentences: as ``parallel_sentences`` takes it.
      num_sentences: of each language at most.
      is_halved: whether one half of the windows finds what the other half judges, so that each has to be enough.

    Raises:
      RequestError: a model is named twice, has another shape or cuts text otherwise, or text is too little or served
        to calibrate.
    """
    # Two names of one folder are one model; a name that is no path stays another than any other.
    places = [os.path.realpath(os.path.expanduser(checkpoint.reference)) for checkpoint in checkpoints]
    for place, checkpoint in zip(places, checkpoints, strict=True):
        if places.count(place) > 1:
            raise RequestError(f"{checkpoint.reference} is given more than once; name each model once.")
    tokenizer = checkpoints[0].tokenizer()
    num_leading = len(window_start(tokenizer))
    _check_amount(windows, length, num_leading, is_halved=is_halved)
    chosen = first_then_others(lambda: parallel_sentences(sentences, languages, num_sentences))
    prepared = prepare_shared_windows(
        checkpoints,
        texts,
        languages,
        windows=windows,
        length=length,
        further=[sentence for of_language in chosen.values() for sentence in of_language],
    )
    for (a, of_a), (b, of_b) in itertools.combinations(prepared.items(), 2):
        if np.array_equal(of_a.tokens_NT, of_b.tokens_NT):
            raise RequestError(f"{texts} has the same text in {a} and in {b}, so nothing can tell them apart.")
    tokenized = {
        language: [part.tokens_T for part in tokenize(tokenizer, of, special_tokens=True, count_bytes=False)]
        for language, of in chosen.items()
    }
    return StateInputs(texts, prepared, num_leading, tokenized)


def _check_amount(windows: int, length: int, num_leading: int, *, is_halved: bool) -> None:
    if windows < 2:
        raise RequestError(
            "1 window of each language was asked for, and two are needed at least, of which each shows how far the "
            "other can be trusted; ask for more (--windows)."
        )
    if windows * (length - num_leading) < LEAST_TOKENS:
        raise RequestError(
            f"{windows} windows of {length} tokens are {windows * (length - num_leading)} for each language, and fewer "
            f"than {LEAST_TOKENS} give no stable estimate; ask for more (--windows) or longer ones (--length)."
        )
    if is_halved and windows < LEAST_HALVED:
        raise RequestError(
            f"--silence with {windows} windows of each language was asked for: half of them choose the neurons and the "
            f"others judge, of which it takes four to tell an effect from chance; ask for --windows {LEAST_HALVED} or "
            "more, or no --silence."
        )
    half = windows // 2
    half_text = "1 window is" if half == 1 else f"{half} windows are"
    if is_halved and half * (length - num_leading) < LEAST_TOKENS:
        raise RequestError(
            f"--silence with {windows} windows of {length} tokens was asked for: neurons are chosen on one half of "
            f"them and silenced on the other, and {half_text} {half * (length - num_leading)} tokens of each "
            f"language, fewer than {LEAST_TOKENS}; ask for more (--windows), longer ones (--length), or no --silence."
        )


def check_agreement(checkpoints: Sequence[Checkpoint], inputs: StateInputs) -> None:
    """Checks that all processes have the same models and text before them.

    Raises:
      RequestError: in every process; names what differs.
    """
    digest = hashlib.sha256()
    for tokens in (*(of.tokens_NT for of in inputs.windows.values()), *inputs.flat_sentences):
        digest.update(tokens.tobytes())
    models = {f"sha256 of model {i}": of.fingerprint for i, of in enumerate(checkpoints, start=1)}
    agree({**models, "sha256 of the tokens": digest.hexdigest()})


def open_lockstep(
    checkpoints: Sequence[Checkpoint],
    inputs: StateInputs,
    *,
    mesh: Mesh,
    compute_dtype: np.dtype,
    host_bytes: int | None = None,
) -> Lockstep:
    """Returns the models before their embeddings.

    Args:
      checkpoints: of one shape.
      inputs: from ``prepare_states``.
      mesh: for all of them.
      compute_dtype: of the forward passes.
      host_bytes: hidden states that may lie in memory; None: half of what the machine has.
    """
    return Lockstep(
        [checkpoint.parameters for checkpoint in checkpoints],
        checkpoints[0].model,
        {language: of.tokens_NT for language, of in inputs.windows.items()},
        sentences=inputs.flat_sentences,
        num_leading=inputs.num_leading,
        mesh=mesh,
        dtype=compute_dtype,
        host_bytes=host_bytes,
    )
