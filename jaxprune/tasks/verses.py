"""The verses of which tasks are made: those that every edition of ``sample`` has, with enough text in each.

They come from books that neither calibrate nor measure perplexity (``jaxprune.data.sample``), so no model that was
pruned with ``sample`` has seen one of them.
"""

import functools
import os
from pathlib import Path
from typing import NamedTuple

from jaxprune import samples
from jaxprune.data.sample import EDITIONS, TASK_BOOKS, read_verses

LANGUAGES = tuple(sorted(EDITIONS))

_SAMPLE = "bible"
# Fewer characters say too little to be told from another verse.
_FEWEST_CHARACTERS = {"ja": 12, "ko": 12, "zh": 12}
_FEWEST = 30


class Place(NamedTuple):
    """Book, chapter and verse: the same content in every edition."""

    book: int
    chapter: int
    verse: int

    def __str__(self) -> str:
        """Returns an id."""
        return f"{self.book}:{self.chapter}:{self.verse}"

    @property
    def following(self) -> "Place":
        """The place of the next verse of the chapter, if there is one."""
        return self._replace(verse=self.verse + 1)


Verses = dict[Place, dict[str, str]]
"""The text of a place by language, all languages having each place."""


def task_verses() -> Verses:
    """Returns them in order."""
    return verses_of(samples.fetch(_SAMPLE))


def is_cached() -> bool:
    """Returns whether ``task_verses`` downloads nothing."""
    return samples.is_cached(_SAMPLE)


def verses_of(database: Path) -> Verses:
    """Returns the verses of a file that is built as the sample's is."""
    return _read(database, os.stat(database).st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _read(database: Path, _modified: int) -> Verses:
    languages = {edition.key: language for language, edition in EDITIONS.items()}
    verses: Verses = {}
    for verse in read_verses(database, list(EDITIONS.values()), *TASK_BOOKS):
        place = Place(verse.book, verse.chapter, verse.number)
        verses.setdefault(place, {})[languages[verse.edition]] = verse.text
    return {place: texts for place, texts in sorted(verses.items()) if _is_usable(texts)}


def _is_usable(texts: dict[str, str]) -> bool:
    return all(len(texts.get(language, "")) >= _FEWEST_CHARACTERS.get(language, _FEWEST) for language in EDITIONS)
