"""Parallel sentences: from verses, from a file, and what is wrong with one."""

import json

import pytest

from jaxprune.errors import RequestError
from jaxprune.tasks import parallel
from jaxprune.tasks.verses import verses_of
from tests.tasks.bible import write_bible


def lines(count, **changes):
    return [{"de": f"Satz {i}", "en": f"sentence {i}", "note": 1} | changes for i in range(count)]


def write(path, items):
    path.write_text("\n".join(json.dumps(item) for item in items), encoding="utf-8")
    return f"file:{path}"


def test_a_file_gives_its_first_sentences_in_order(tmp_path):
    found = parallel.parallel_sentences(write(tmp_path / "a.jsonl", lines(30)), ["en", "de"], 12)
    assert list(found) == ["en", "de"]
    assert found["de"] == [f"Satz {i}" for i in range(12)]


def test_verses_are_the_same_in_every_language_that_has_them(tmp_path, monkeypatch):
    verses = verses_of(write_bible(tmp_path / "bible.db"))
    monkeypatch.setattr(parallel, "task_verses", lambda: verses)
    found = parallel.parallel_sentences("sample", ["de", "xx", "sw"], 20)
    assert list(found) == ["de", "sw"]
    assert len(found["de"]) == len(found["sw"]) == 20
    # The database repeats a verse's numbers in every edition.
    for german, swahili in zip(*found.values(), strict=True):
        assert german.replace("de", "sw", 1) == swahili


def test_none_are_none():
    assert parallel.parallel_sentences("none", ["de", "en"], 50) == {}


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (lines(9), "has 9 sentences in de, en"),
        ([*lines(3), {"de": "ohne"}], r":4 has no text under 'en'"),
        ([*lines(3), {"de": "", "en": "x"}], r":4 has no text under 'de'"),
        ([*lines(3), [1]], r":4 has no text under 'de'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, items, words):
    with pytest.raises(RequestError, match=words):
        parallel.parallel_sentences(write(tmp_path / "a.jsonl", items), ["de", "en"], 50)


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"de": "a", "en": "b"}\n{"de": ', encoding="utf-8")
    with pytest.raises(RequestError, match=r"a\.jsonl:2 is no JSON"):
        parallel.parallel_sentences(f"file:{path}", ["de", "en"], 50)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(RequestError, match=r"file:.*/none\.jsonl was given, but .*/none\.jsonl is no file"):
        parallel.parallel_sentences(f"file:{tmp_path / 'none.jsonl'}", ["de", "en"], 50)


def test_languages_without_verses_are_too_few(tmp_path):
    with pytest.raises(RequestError, match=r"sample has de of de, xx, .* it has ar, .*sw"):
        parallel.parallel_sentences("sample", ["de", "xx"], 50)
