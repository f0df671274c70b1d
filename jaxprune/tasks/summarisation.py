"""summarisation: what a wikiHow article says, in English (WikiLingua).

The package has summaries in English only, so for every language but English it is summary and translation at once.
"""

from collections.abc import Iterable

from jaxprune.tasks.articles import LANGUAGES, Article, read_articles, sentences
from jaxprune.tasks.big_bench import is_cached
from jaxprune.tasks.items import DataTask, GenerationItem, scattered

# Of longer articles the beginning is shown.
_CHARACTERS = 1500
_MAX_NEW_TOKENS = 96
# How many sentences of the article the baseline copies.
_COPIED = 3


def make_items(articles: Iterable[Article], limit: int | None) -> list[GenerationItem]:
    """Returns prompts for the summaries of articles."""
    return [
        GenerationItem(
            article.id,
            f"Article: {' '.join(article.text[:_CHARACTERS].split())}\n\nSummary in English:",
            (article.summary,),
            max_new_tokens=_MAX_NEW_TOKENS,
            copied=" ".join(sentences(article.text)[:_COPIED]),
        )
        for article in scattered(articles, "summarisation", lambda article: article.id)[:limit]
    ]


TASK = DataTask(
    name="summarisation",
    ability="language",
    kind="generation",
    headline="rougeL",
    description="what a wikiHow article says, in English (WikiLingua)",
    codes=LANGUAGES,
    read=lambda language, limit: make_items(read_articles(language), limit),
    is_cached=is_cached,
)
