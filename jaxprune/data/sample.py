"""``sample``: the Bible in many languages, verse by verse the same content, from a package that pip can
fetch.

Books 1-39 are calibration, 40-48 evaluation; 49-66 stay unseen by both, for tasks. Real and parallel, but one
register, and surely in the training data of every model: compare pruned with dense, and not models with each
other.
"""

import dataclasses
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from jaxprune.data.sources import Split, check_languages, seeded_order
from jaxprune.errors import RequestError
from jaxprune.samples import fetch


class Edition(NamedTuple):
    """A translation: its key in the package's table, and what stands between two verses of a chapter."""

    key: str
    separator: str = " "


EDITIONS = {
    "ar": Edition("y"),  # Smith and Van Dyke 1865
    "bn": Edition("b"),
    "de": Edition("e"),  # Elberfelder 1905
    "en": Edition("4"),  # World English Bible
    "es": Edition("v"),  # Reina-Valera 1909
    "fa": Edition("p"),
    "fr": Edition("l"),  # Segond 1910
    "id": Edition("6"),
    "it": Edition("1"),
    "ja": Edition("j", "\n"),  # New Japanese Bible 1973
    "ko": Edition("n"),
    "pl": Edition("z"),
    "pt": Edition("a"),
    "ro": Edition("u"),
    "ru": Edition("r"),  # Synodal 1876
    "sw": Edition("h"),  # Swahili Union Version 1997
    "tl": Edition("f"),
    "uk": Edition("8"),
    "vi": Edition("7"),
    "zh": Edition("c", "\n"),  # New Chinese Version
}
"""Public-domain editions where the package has one. Scripts without spaces keep a line a verse."""

BOOKS: dict[Split, tuple[int, int]] = {"calibration": (1, 39), "evaluation": (40, 48)}
"""First and last book of each split, of 66."""

TASK_BOOKS = (49, 66)
"""First and last of the books of which tasks are made; no split has them."""


@dataclasses.dataclass(frozen=True)
class SampleTexts:
    """Chapters as documents.

    A seeded order takes the same chapters in every language, so that calibrations differ in language and in
    nothing else.
    """

    database: Path | None = None
    """SQLite file to read; None fetches it."""

    @property
    def reference(self) -> str:
        """What the user wrote."""
        return "sample"

    def languages(self) -> tuple[str, ...]:
        """Returns the languages with an edition."""
        return tuple(sorted(EDITIONS))

    def documents(self, language: str, split: Split, *, seed: int | None) -> Iterator[str]:
        """Returns a split's chapters, verses joined."""
        check_languages(self, [language])
        chapters = _chapters(self.database or fetch("bible"), EDITIONS[language], *BOOKS[split])
        order = range(len(chapters)) if seed is None else seeded_order(len(chapters), seed)
        return (chapters[index] for index in order)


class Verse(NamedTuple):
    """A verse of an edition, by which the same content has the same three numbers in each."""

    edition: str
    book: int
    chapter: int
    number: int
    text: str


def read_verses(database: Path, editions: Sequence[Edition], first_book: int, last_book: int) -> list[Verse]:
    """Returns the verses of some books in some editions, edition by edition and in order.

    Raises:
      RequestError: the file is not the sample's.
    """
    query = (
        "SELECT bbName, bNumber, cNumber, vNumber, vText FROM bible "
        f"WHERE bbName IN ({', '.join('?' * len(editions))}) AND bNumber BETWEEN ? AND ? "
        "ORDER BY bbName, bNumber, cNumber, vNumber"
    )
    try:
        # immutable: SQLite then writes no journal beside a file in a cache that others share.
        connection = sqlite3.connect(f"file:{quote(str(database))}?mode=ro&immutable=1", uri=True)
        try:
            keys = [edition.key for edition in editions]
            rows = connection.execute(query, (*keys, first_book, last_book)).fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise RequestError(
            f"{database} is not the sample text ({error}); delete it, and it is fetched anew."
        ) from error
    return [Verse(key, book, chapter, number, text.strip()) for key, book, chapter, number, text in rows]


def _chapters(database: Path, edition: Edition, first_book: int, last_book: int) -> list[str]:
    verses = read_verses(database, [edition], first_book, last_book)
    return [
        edition.separator.join(verse.text for verse in chapter)
        for _, chapter in groupby(verses, key=lambda verse: (verse.book, verse.chapter))
    ]
