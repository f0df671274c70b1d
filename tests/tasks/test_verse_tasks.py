"""Tasks made of verses: the same items in every language, from books that no split has."""

import pytest

from jaxprune.data.sample import BOOKS, EDITIONS
from jaxprune.tasks import TASKS
from jaxprune.tasks.next_verse import make_items
from jaxprune.tasks.translation import NAMES, make_choices, make_prompts
from jaxprune.tasks.verse_retrieval import make_pairs
from jaxprune.tasks.verses import Place, verses_of
from tests.tasks.bible import SHORT, write_bible


@pytest.fixture(scope="module")
def verses(tmp_path_factory):
    return verses_of(write_bible(tmp_path_factory.mktemp("bible") / "bible.db"))


def test_verses_come_from_books_of_their_own_and_say_something_everywhere(verses):
    assert {place.book for place in verses} == {49, 57, 66}
    assert max(last for _, last in BOOKS.values()) < 49
    assert Place(*SHORT) not in verses
    assert len(verses) == 34
    assert set(verses[Place(66, 1, 1)]) == set(EDITIONS)


def test_next_verse_is_the_next_one_and_the_others_are_not(verses):
    items = make_items(verses, "de", None)
    # Three chapters of two books with four pairs of neighbours each, less the two with the short verse.
    assert len(items) == 22
    for item in items:
        place = Place(*map(int, item.id.split(":")))
        assert item.context == verses[place]["de"] + " "
        assert item.choices[item.answer] == verses[place.following]["de"]
        wrong = {choice for index, choice in enumerate(item.choices) if index != item.answer}
        assert len(wrong) == 3
        elsewhere = [other for other in verses if other.book == place.book and other.chapter != place.chapter]
        assert wrong <= {verses[other]["de"] for other in elsewhere}
    assert len({item.answer for item in items}) == 4
    assert make_items(verses, "de", 5) == items[:5]


def test_items_are_parallel(verses):
    def numbers(text):
        return text.split()[1:]

    for make in (make_items, make_choices):
        items = {language: make(verses, language, None) for language in ("de", "ja", "sw")}
        for of_language in zip(*items.values(), strict=True):
            assert len({(item.id, item.answer) for item in of_language}) == 1
            assert len({str([numbers(choice) for choice in item.choices]) for item in of_language}) == 1
    assert make_items(verses, "ja", 1)[0].context.endswith(".\n")


def test_translation_asks_for_other_verses_than_it_shows(verses):
    items = make_prompts(verses, "sw", "en", None)
    for item in items:
        place = Place(*map(int, item.id.split(":")))
        assert item.references == (verses[place]["en"],)
        assert item.prompt.endswith(f"\n\nSwahili: {verses[place]['sw']}\nEnglish:")
        assert item.prompt.count("Swahili: ") == 4
        assert verses[place]["en"] not in item.prompt
    assert len({item.id for item in items}) == len(items) == 31
    assert [item.id for item in make_prompts(verses, "en", "ar", 3)] == [item.id for item in items[:3]]
    assert set(NAMES) == set(EDITIONS)


def test_pairs_are_translations(verses):
    pairs = make_pairs(verses, "zh", None)
    assert len(pairs) == len(verses)
    assert all(verses[Place(*map(int, pair.id.split(":")))]["zh"] == pair.source for pair in pairs)
    assert all(verses[Place(*map(int, pair.id.split(":")))]["en"] == pair.target for pair in pairs)


@pytest.mark.real
def test_the_real_verses_make_enough_items_in_every_language():
    fewest = {"next-verse": 1500, "verse-retrieval": 1500, "translation-choice": 1400, "translation-to-english": 1400}
    for name, number in fewest.items():
        task = TASKS[name]
        ids = {language: [item.id for item in task.items(language, None)] for language in ("sw", "ja")}
        assert len(ids["sw"]) > number
        assert len({tuple(of_language) for of_language in ids.values()}) == 1
    first = TASKS["next-verse"].items("en", 1)[0]
    assert first.id == "62:3:1"
    assert first.choices[first.answer].startswith("Beloved, now we are children of God")
