import os
import sqlite3
import stat

import pytest

from jaxprune.data import open_texts
from jaxprune.data.sample import EDITIONS, SampleTexts
from jaxprune.errors import RequestError


@pytest.fixture
def database(tmp_path):
    """A small database as the package has it, verses out of order."""
    path = tmp_path / "a folder with ? and #" / "bible.db"
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bible (bbName, bNumber, cNumber, vNumber, vText)")
        verses = [
            (key, book, chapter, verse, f" {key}{book}:{chapter}:{verse}. ")
            for key in ("h", "c", "other")
            for book in range(66, 0, -1)
            for chapter in (2, 1)
            for verse in (3, 1, 2)
        ]
        connection.executemany("INSERT INTO bible VALUES (?, ?, ?, ?, ?)", verses)
    connection.close()
    return path


def test_chapters_are_documents_and_books_divide(database):
    source = SampleTexts(database)
    calibration = list(source.documents("sw", "calibration", seed=None))
    assert len(calibration) == 39 * 2
    assert calibration[1:3] == ["h1:2:1. h1:2:2. h1:2:3.", "h2:1:1. h2:1:2. h2:1:3."]
    evaluation = list(source.documents("sw", "evaluation", seed=None))
    books = [text.split(":")[0] for text in evaluation]
    assert books == [f"h{book}" for book in range(40, 49) for _ in range(2)]
    assert next(source.documents("zh", "evaluation", seed=None)) == "c40:1:1.\nc40:1:2.\nc40:1:3."


def test_a_seed_draws_the_same_chapters_in_every_language(database):
    swahili = list(SampleTexts(database).documents("sw", "calibration", seed=1))
    chinese = list(SampleTexts(database).documents("zh", "calibration", seed=1))
    assert [text.replace("\n", " ").replace("c", "h") for text in chinese] == swahili
    assert swahili != list(SampleTexts(database).documents("sw", "calibration", seed=None))


def test_the_cache_is_only_read(database):
    os.chmod(database, stat.S_IRUSR)
    before = sorted(database.parent.iterdir()), database.read_bytes()
    list(SampleTexts(database).documents("sw", "calibration", seed=1))
    assert (sorted(database.parent.iterdir()), database.read_bytes()) == before


def test_refusals(database):
    with pytest.raises(RequestError, match="sample has no xx; it has ar, bn, de, en"):
        SampleTexts(database).documents("xx", "calibration", seed=0)
    database.write_bytes(b"not a database" * 100)
    with pytest.raises(RequestError, match="is not the sample text"):
        SampleTexts(database).documents("sw", "calibration", seed=0)


@pytest.mark.real
def test_the_real_text_is_parallel_in_every_language():
    source = open_texts("sample")
    assert {"ar", "de", "en", "es", "ru", "sw", "zh", "ja"} <= set(source.languages())
    for split, chapters, smallest in (("calibration", 929, 2_500_000), ("evaluation", 168, 550_000)):
        for language in EDITIONS:
            documents = list(source.documents(language, split, seed=None))
            assert len(documents) == chapters
            assert all(document.strip() for document in documents)
            assert sum(len(document.encode()) for document in documents) > smallest, language
    beginnings = {"de": "Im Anfang schuf Gott", "sw": "Hapo mwanzo Mungu", "ja": "初めに、神が"}
    for language, beginning in beginnings.items():
        assert next(source.documents(language, "calibration", seed=None)).startswith(beginning)
