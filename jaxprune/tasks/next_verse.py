"""next-verse: which of four verses follows.

Derived for this project, in the manner of HellaSwag and XStoryCloze: the right one is the next verse of the chapter,
the wrong ones are verses of other chapters of the same book. The same items in every language. Neighbouring verses
share names, so the word-overlap baseline belongs beside every score.
"""

from jaxprune.data.sample import EDITIONS
from jaxprune.tasks.items import ChoiceItem, DataTask, scattered, with_answer
from jaxprune.tasks.verses import LANGUAGES, Place, Verses, is_cached, task_verses

_WRONG = 3


def _items(language: str, limit: int | None) -> list[ChoiceItem]:
    return make_items(task_verses(), language, limit)


def make_items(verses: Verses, language: str, limit: int | None) -> list[ChoiceItem]:
    """Returns the items of a language."""
    names = {place: str(place) for place in verses}
    items: list[ChoiceItem] = []
    for place in scattered((place for place in verses if place.following in verses), "next-verse"):
        if len(items) == limit:
            break
        if others := _others(verses, names, place):
            wrong = [verses[other][language] for other in others]
            choices, answer = with_answer(verses[place.following][language], wrong, str(place))
            items.append(
                ChoiceItem(str(place), verses[place][language] + EDITIONS[language].separator, choices, answer)
            )
    return items


def _others(verses: Verses, names: dict[Place, str], place: Place) -> list[Place]:
    """Returns the wrong answers' places; none where a book has too little outside of the chapter."""
    elsewhere = [other for other in verses if other.book == place.book and other.chapter != place.chapter]
    chosen: list[Place] = []
    texts = [verses[place.following]]
    for other in scattered(elsewhere, f"next-verse {place}", names.__getitem__):
        # Some verses are repeated word by word, in one edition at least.
        if all(verses[other][language] != text[language] for text in texts for language in text):
            chosen.append(other)
            texts.append(verses[other])
        if len(chosen) == _WRONG:
            return chosen
    return []


NEXT_VERSE = DataTask(
    name="next-verse",
    ability="language",
    kind="choice",
    headline="acc_mutual_info",
    description="which of four verses of the Bible follows; parallel",
    codes=LANGUAGES,
    read=_items,
    is_cached=is_cached,
)
