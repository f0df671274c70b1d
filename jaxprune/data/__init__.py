"""Text: where it comes from, and how it becomes calibration sequences and evaluation windows."""

import difflib
from collections.abc import Callable
from pathlib import Path

from jaxprune.data.files import FileTexts
from jaxprune.data.huggingface import DatasetTexts, mc4
from jaxprune.data.sample import SampleTexts
from jaxprune.data.sources import Split, TextSource, check_languages
from jaxprune.data.tfds import PreparedTexts
from jaxprune.data.token_files import TOKENS, check_token_file
from jaxprune.errors import RequestError

SOURCES: dict[str, Callable[[str], TextSource]] = {
    "mc4": lambda rest: _without_argument("mc4", rest, mc4),
    "dataset": DatasetTexts.parse,
    "tfds": PreparedTexts.parse,
    "files": FileTexts.parse,
    "sample": lambda rest: _without_argument("sample", rest, SampleTexts),
}
"""What stands before the colon of a TEXTS reference -> a function of what stands after it."""

__all__ = ["SOURCES", "Split", "TextSource", "check_languages", "check_texts", "knows_languages", "open_texts"]


def open_texts(reference: str) -> TextSource:
    """Opens the text a reference such as ``mc4`` or ``files:FOLDER`` names; reads next to nothing yet.

    Raises:
      RequestError: the reference is of no known kind, incomplete, or names a folder that is not there.
    """
    kind, _, rest = reference.partition(":")
    if kind in SOURCES:
        return SOURCES[kind](rest)
    if kind == "tokens":
        raise RequestError(
            f"{reference} holds token ids, but this needs text in a known language; give mc4, dataset:, "
            "tfds:, files: or sample."
        )
    if reference and Path(reference).is_dir():
        raise RequestError(f"{reference!r} is a folder; to read its text files, write files:{reference}.")
    close = difflib.get_close_matches(kind, SOURCES, n=1)
    guess = f" Did you mean {close[0]}?" if close else ""
    raise RequestError(
        f"there is no kind of text {kind!r} (in {reference!r}); choose mc4, dataset:NAME, "
        f"tfds:NAME@DATA_DIR, files:FOLDER, sample or tokens:FILE.npy.{guess}"
    )


def check_texts(reference: str) -> None:
    """Checks, before a model is opened, what can be known of a TEXTS reference without reading text.

    Raises:
      RequestError: as ``open_texts``; or ``tokens:`` with a file that is not there.
    """
    if reference.startswith(TOKENS):
        check_token_file(Path(reference.removeprefix(TOKENS)))
    else:
        open_texts(reference)


def knows_languages(source: TextSource) -> bool:
    """Returns whether a source tells its languages without asking the hub."""
    return not isinstance(source, DatasetTexts) or source.is_local()


def _without_argument(kind: str, rest: str, build: Callable[[], TextSource]) -> TextSource:
    if rest:
        raise RequestError(f"{kind} takes nothing after a colon, but got {rest!r}; write {kind} alone.")
    return build()
