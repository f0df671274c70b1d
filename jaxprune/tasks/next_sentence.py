"""next-sentence: which of four sentences of a wikiHow article follows.

Derived for this project, in the manner of HellaSwag: two or three sentences, and the next one against three others
that stand elsewhere in the same article. To know which instruction comes next takes more than grammar, so it counts as
reasoning.
"""

from collections.abc import Iterable

from jaxprune.tasks.articles import LANGUAGES, Article, read_articles, sentences
from jaxprune.tasks.big_bench import is_cached
from jaxprune.tasks.items import ChoiceItem, DataTask, scattered, with_answer

_CONTEXT = 3
_WRONG = 3
# A wrong sentence stands at least so far from the right one.
_DISTANCE = 4
_WITHOUT_SPACES = ("ja", "zh")
# Characters of a sentence that is a choice.
_SHORTEST, _LONGEST = 20, 300
_SHORTEST_WITHOUT_SPACES = 8


def make_items(articles: Iterable[Article], language: str, limit: int | None) -> list[ChoiceItem]:
    """Returns the items of a language's articles."""
    separator = "" if language in _WITHOUT_SPACES else " "
    shortest = _SHORTEST if separator else _SHORTEST_WITHOUT_SPACES
    items = []
    for article in articles:
        found = sentences(article.text)
        usable = [index for index, sentence in enumerate(found) if shortest <= len(sentence) <= _LONGEST]
        for right in usable:
            id_ = f"{article.id}-{right}"
            far = [index for index in usable if abs(index - right) >= _DISTANCE and found[index] != found[right]]
            wrong = [found[index] for index in scattered(far, id_)]
            wrong = list(dict.fromkeys(wrong))[:_WRONG]
            if right < 2 or len(wrong) < _WRONG:
                continue
            context = separator.join(found[max(0, right - _CONTEXT) : right]) + separator
            items.append(ChoiceItem(id_, context, *with_answer(found[right], wrong, id_)))
    return scattered(items, "next-sentence", lambda item: item.id)[:limit]


TASK = DataTask(
    name="next-sentence",
    ability="reasoning",
    kind="choice",
    headline="acc_mutual_info",
    description="which of four sentences of a wikiHow article follows (WikiLingua)",
    codes=tuple(language for language in LANGUAGES if language != "th"),
    read=lambda language, limit: make_items(read_articles(language), language, limit),
    is_cached=is_cached,
)
