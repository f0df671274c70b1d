"""wikiHow articles with English summaries (WikiLingua, Ladhak et al., 2020, https://arxiv.org/abs/2010.03093).

Each language has other articles.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from jaxprune.tasks.big_bench import examples
from jaxprune.tasks.packages import ARTICLES

LANGUAGES = ("ar", "cs", "de", "en", "es", "fr", "hi", "id", "it", "ja", "ko", "nl", "pt", "ru", "th", "tr", "vi", "zh")

_ORIGIN = re.compile(r"wiki_lingua_[a-z]+_([a-z]{2})-test-\d+")
# Scripts without spaces end a sentence with a full stop of their own. Thai has neither, so its texts are one sentence.
# What is left of pictures in the texts.
_PICTURE = re.compile(r'\{"smallUrl.*?\}')
_END = re.compile(r"(?<=[.!?؟।])\s+|(?<=[。！？])\s*")


class Article(NamedTuple):
    """An article in some language, and what it says in English."""

    id: str
    text: str
    summary: str


@lru_cache(maxsize=1)
def _by_language() -> dict[str, list[Article]]:
    articles: dict[str, list[Article]] = {language: [] for language in LANGUAGES}
    for record in examples(ARTICLES):
        origin = _ORIGIN.fullmatch(record["comment"])
        assert origin is not None, record["comment"]
        article = Article(record["comment"], _PICTURE.sub(" ", record["input"]).strip(), record["target"].strip())
        articles[origin[1]].append(article)
    return articles


def read_articles(language: str) -> list[Article]:
    """Returns the articles of a language."""
    return _by_language()[language]


def sentences(text: str) -> list[str]:
    """Returns the sentences of a text, as far as their full stops tell."""
    return [part for part in (part.strip() for part in _END.split(text)) if part]
