"""What it takes to send one text through several models and compare them: one shape, and one tokenizer."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence

from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.data.token_files import TOKENS
from jaxprune.data.tokenizing import tokenize, window_start
from jaxprune.data.windows import Windows
from jaxprune.errors import MissingTokenizerError, RequestError
from jaxprune.jobs.perplexity import check_unseen, prepare_windows

# Enough to see what a tokenizer does otherwise.
_SHOWN = 4

_log = logging.getLogger(__name__)


def prepare_shared_windows(
    checkpoints: Sequence[Checkpoint],
    texts: str,
    languages: Sequence[str],
    *,
    windows: int | None,
    length: int,
    further: Sequence[str] = (),
) -> dict[str, Windows]:
    """Returns windows by language as the first model's tokenizer cuts them, after checks that they suit all models.

    Args:
      checkpoints: the first is what the others are compared with.
      windows: for each language; None: as ``prepare_windows`` takes it.
      further: other text that goes through all models as tokens of the first one's tokenizer.

    Raises:
      RequestError: models differ in their shape or their tokenizers, a language or enough text is missing, or a window
        served to calibrate one of them.
    """
    first, *others = checkpoints
    for other in others:
        check_pair(first, other)
    prepared = prepare_windows(first, texts, languages, windows=windows, length=length, protocol="windows")
    for other in others:
        check_unseen(other.reference, prepared)
    # Token ids are taken as they are given, whatever they stand for.
    if others and not texts.startswith(TOKENS):
        _check_tokenizers(first, others, prepared, further)
    return prepared


def check_pair(dense: Checkpoint, pruned: Checkpoint) -> None:
    """Checks that one model can have been pruned from the other.

    Raises:
      RequestError: another family, or another value of a config; says which.
    """
    families = dense.model.family.model_type, pruned.model.family.model_type
    if families[0] != families[1]:
        raise _no_pair(dense, pruned, f"the first is a {families[0]} model and the second a {families[1]} model")
    configs = dense.model.config, pruned.model.config
    differences = [
        f"{field.name} is {getattr(configs[0], field.name)} and {getattr(configs[1], field.name)}"
        for field in dataclasses.fields(configs[0])
        if getattr(configs[0], field.name) != getattr(configs[1], field.name)
    ]
    if differences:
        raise _no_pair(dense, pruned, "; ".join(differences))


def _check_tokenizers(
    first: Checkpoint, others: Sequence[Checkpoint], windows: Mapping[str, Windows], further: Sequence[str]
) -> None:
    """Checks that every model's own tokenizer makes the same tokens of the text, and knows none by another number.

    What they do is compared, and not their files: a tokenizer that was rebuilt from a GGUF file is written otherwise
    than the one that it was made from, and cuts text alike. A model that has none is taken to have the first's.

    Raises:
      RequestError: names both models, and the first token that differs.
    """
    ours = first.tokenizer()
    leading = len(window_start(ours))
    texts = [*(str(ours.decode(of.tokens_NT[:, leading:].ravel())) for of in windows.values()), *further]
    expected = [of.tokens_T.tolist() for of in tokenize(ours, texts, special_tokens=True, count_bytes=False)]
    numbers = ours.get_vocab()
    for other in others:
        try:
            theirs = other.tokenizer()
        except MissingTokenizerError:
            _log.warning("%s has no tokenizer; it is given the tokens of %s", other.reference, first.reference)
            continue
        other_numbers = theirs.get_vocab()
        renumbered = [token for token, number in numbers.items() if other_numbers.get(token, number) != number]
        if renumbered:
            token = min(renumbered, key=numbers.__getitem__)
            found = f"{token!r} is token {numbers[token]} of the first and {other_numbers[token]} of the second"
            raise _other_tokenizer(first, other, found)
        cut = tokenize(theirs, texts, special_tokens=True, count_bytes=False)
        for own, of in zip(expected, cut, strict=True):
            tokens = of.tokens_T.tolist()
            if own != tokens:
                start = next((i for i, (a, b) in enumerate(zip(own, tokens, strict=False)) if a != b), len(tokens))
                here, there = own[start:][:_SHOWN], tokens[start:][:_SHOWN]
                found = f"{ours.decode(here)!r} is cut into tokens {here} by the first and {there} by the second"
                raise _other_tokenizer(first, other, found)


def _other_tokenizer(first: Checkpoint, other: Checkpoint, found: str) -> RequestError:
    return RequestError(
        f"{first.reference} and {other.reference} are compared on the same tokens, but their tokenizers differ "
        f"({found}); give models with one tokenizer."
    )


def _no_pair(dense: Checkpoint, pruned: Checkpoint, found: str) -> RequestError:
    return RequestError(
        f"{dense.reference} and {pruned.reference} were to be compared, but {found}; give a model and what was pruned "
        "from it."
    )
