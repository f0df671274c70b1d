"""What every source of text offers, and the two rules they share: a seeded order and a seeded division."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal, Protocol, runtime_checkable

from jaxprune.errors import RequestError

Split = Literal["calibration", "evaluation"]
"""Text that pruning may look at, and text that only ever measures. No document is in both."""

LANGUAGE_CODE = r"[a-z]{2,3}(?:[-_](?:[A-Za-z]{2}|[A-Za-z]{4}))?"
"""How a language is spelled in names of files, configurations and splits: ``sw``, ``bg-Latn``, ``zh-TW``."""

HELD_OUT = ("validation", "test")
"""What text sets call the split that measures; the first that is there serves."""

_DIVISION_SEED = b"jaxprune division 0\n"
_EVALUATION_ONE_IN = 5


@runtime_checkable
class TextSource(Protocol):
    """Documents by language and split."""

    @property
    def reference(self) -> str:
        """What the user wrote to name this source."""
        ...

    def languages(self) -> tuple[str, ...] | None:
        """Returns its languages, sorted; None if it is one text whose language only the user knows."""
        ...

    def documents(self, language: str, split: Split, *, seed: int | None) -> Iterator[str]:
        """Returns every document once, in an order that the seed decides; None keeps the source's order.

        Raises:
          RequestError: the language or the split is missing, or what is stored cannot be read.
        """
        ...


def check_languages(source: TextSource, languages: Sequence[str]) -> None:
    """Checks that the source has these languages before any work is done.

    Raises:
      RequestError: one is missing (lists those there are), or several are asked of a source that is one text.
    """
    known = source.languages()
    if known is None:
        if len(languages) > 1:
            raise RequestError(
                f"{source.reference} is one text in one language, but {', '.join(languages)} were asked for; "
                "ask for one, or write {language} in the reference where the languages differ."
            )
        return
    missing = [language for language in languages if language not in known]
    if missing:
        raise RequestError(
            f"{source.reference} has no {', '.join(missing)}; it has {', '.join(known) or 'no language at all'}; "
            "ask for what it has, or name another source with --texts."
        )


def seeded_order(num: int, seed: int) -> list[int]:
    """Returns 0..num-1 ordered by sha256 of seed and number: the same with every random library."""
    return sorted(range(num), key=lambda index: hashlib.sha256(f"{seed}:{index}".encode()).digest())


def content_digest(text: str) -> bytes:
    """Returns 32 bytes that two documents share if they differ at most in white space around them."""
    return hashlib.sha256(_DIVISION_SEED + text.strip().encode("utf-8", "surrogatepass")).digest()


def hash_document(text: str) -> str:
    """Returns 16 hexadecimal digits by which a document is known again, white space around it left out."""
    return content_digest(text).hex()[:16]


def split_of(text: str) -> Split:
    """Returns the side on which a document falls where nobody divided the text by hand.

    The content decides: sha256 of a fixed seed and the text, one document in five to evaluation. So the
    division is the same on every machine and in every order, and copies of a document never land on different
    sides.
    """
    number = int.from_bytes(content_digest(text)[:8], "little")
    return "evaluation" if number % _EVALUATION_ONE_IN == 0 else "calibration"


def divide(documents: Iterable[str], split: Split) -> Iterator[str]:
    """Returns the documents that ``split_of`` puts on one side."""
    return (text for text in documents if split_of(text) == split)


def choose_stored(
    stored: Collection[str],
    split: Split,
    *,
    training: str = "train",
    held_out: Sequence[str] = HELD_OUT,
) -> tuple[str, bool]:
    """Returns which stored split of a text set to read, and whether ``divide`` must take its part of it.

    A set with a training and a held-out split keeps them. Any other is divided by content: its training
    split, or the first that it has.
    """
    measuring = next((name for name in held_out if name in stored), None)
    if training in stored and measuring is not None:
        return (training if split == "calibration" else measuring), False
    return (training if training in stored else next(iter(stored))), True
