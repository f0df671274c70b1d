"""A small database as the sample's package has it, with generated verses in every edition."""

import sqlite3
from pathlib import Path

import numpy as np

from jaxprune.data.sample import EDITIONS

BOOKS = (49, 57, 66)
SHORT = (49, 1, 3)
"""A verse that says next to nothing in one edition."""


def write_bible(path: Path) -> Path:
    """Writes books 49 and 66 of three chapters with five verses each, and book 57, which has one chapter."""
    rng = np.random.default_rng(0)
    rows = []
    for book in BOOKS:
        for chapter in range(1, 2 if book == 57 else 4):
            for verse in range(1, 6):
                numbers = rng.integers(10**5, 10**6, 8)
                for language, edition in EDITIONS.items():
                    text = f" {language} {' '.join(map(str, numbers))}. "
                    if (book, chapter, verse, language) == (*SHORT, "sw"):
                        text = "sw"
                    rows.append((edition.key, book, chapter, verse, text))
    rows += [(edition.key, 48, 1, 1, "another split's verse, long enough") for edition in EDITIONS.values()]
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bible (bbName, bNumber, cNumber, vNumber, vText)")
        connection.executemany("INSERT INTO bible VALUES (?, ?, ?, ?, ?)", reversed(rows))
    connection.close()
    return path
