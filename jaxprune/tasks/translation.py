"""Translation of verses: chosen among four, and made, from English and into English.

Derived for this project from the verses of ``jaxprune.tasks.verses``; the same items in every language. A prompt shows
three translations and asks for the fourth.
"""

from jaxprune.tasks.items import ChoiceItem, DataTask, GenerationItem, scattered, with_answer
from jaxprune.tasks.verses import LANGUAGES, Place, Verses, is_cached, task_verses

ENGLISH = "en"
_LANGUAGES = tuple(language for language in LANGUAGES if language != ENGLISH)

NAMES = {
    "ar": "Arabic",
    "bn": "Bengali",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fa": "Persian",
    "fr": "French",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sw": "Swahili",
    "tl": "Tagalog",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}

_SHOWN = 3
_WRONG = 3
# Verses of one or two sentences, in characters of English.
_SHORTEST, _LONGEST = 40, 160
# Of the longest verses, a vocabulary with little room for a language needs so many tokens.
_MAX_NEW_TOKENS = 192


def _places(verses: Verses) -> tuple[list[Place], list[Place]]:
    """Returns the places that are shown as examples, and those that are asked for."""
    short = [place for place, texts in verses.items() if _SHORTEST <= len(texts[ENGLISH]) <= _LONGEST]
    ordered = scattered(short, "translation")
    return ordered[:_SHOWN], ordered[_SHOWN:]


def make_prompts(verses: Verses, source: str, target: str, limit: int | None) -> list[GenerationItem]:
    """Returns prompts for a translation between two languages."""
    shown, asked = _places(verses)

    def line(language: str, text: str) -> str:
        return f"{NAMES[language]}: {text}".rstrip()

    examples = "".join(
        f"{line(source, verses[place][source])}\n{line(target, verses[place][target])}\n\n" for place in shown
    )
    return [
        GenerationItem(
            str(place),
            f"{examples}{line(source, verses[place][source])}\n{line(target, '')}",
            (verses[place][target],),
            max_new_tokens=_MAX_NEW_TOKENS,
            copied=verses[place][source],
        )
        for place in asked[:limit]
    ]


def make_choices(verses: Verses, language: str, limit: int | None) -> list[ChoiceItem]:
    """Returns questions for the translation of an English verse; the wrong ones are about as long in English."""
    _, asked = _places(verses)
    lengths = {place: len(verses[place][ENGLISH]) for place in asked}
    names = {place: str(place) for place in asked}
    items = []
    for place in asked[:limit]:
        texts = [verses[place]]
        near = [
            other for other in asked if other != place and abs(lengths[other] - lengths[place]) <= lengths[place] / 5
        ]
        for other in scattered(near, f"translation-choice {place}", names.__getitem__):
            if all(verses[other][name] != text[name] for text in texts for name in LANGUAGES):
                texts.append(verses[other])
            if len(texts) == 1 + _WRONG:
                break
        if len(texts) < 1 + _WRONG:
            continue
        right, *wrong = (text[language] for text in texts)
        choices, answer = with_answer(right, wrong, str(place))
        context = f"{NAMES[ENGLISH]}: {verses[place][ENGLISH]}\n{NAMES[language]}: "
        items.append(ChoiceItem(str(place), context, choices, answer))
    return items


TRANSLATION_CHOICE = DataTask(
    name="translation-choice",
    ability="language",
    kind="choice",
    headline="acc_mutual_info",
    description="which of four verses is the translation of an English one; parallel",
    codes=_LANGUAGES,
    read=lambda language, limit: make_choices(task_verses(), language, limit),
    is_cached=is_cached,
)
TRANSLATION_FROM_ENGLISH = DataTask(
    name="translation-from-english",
    ability="language",
    kind="generation",
    headline="chrf",
    description="verses translated from English, three examples shown; parallel",
    codes=_LANGUAGES,
    read=lambda language, limit: make_prompts(task_verses(), ENGLISH, language, limit),
    is_cached=is_cached,
)
TRANSLATION_TO_ENGLISH = DataTask(
    name="translation-to-english",
    ability="language",
    kind="generation",
    headline="chrf",
    description="verses translated into English, three examples shown; parallel",
    codes=_LANGUAGES,
    read=lambda language, limit: make_prompts(task_verses(), language, ENGLISH, limit),
    is_cached=is_cached,
)
