"""verse-retrieval: whether a verse is nearer to its English translation than to any other.

The protocol of Tatoeba and BUCC (accuracy at 1 by the cosine of mean-pooled hidden states), on the same verses in every
language. It works with weak models, and shows what happens to features that languages share. The score depends on how
many candidates there are: compare runs of one ``limit``.
"""

from jaxprune.tasks.items import DataTask, RetrievalPair, scattered
from jaxprune.tasks.verses import LANGUAGES, Verses, is_cached, task_verses


def make_pairs(verses: Verses, language: str, limit: int | None) -> list[RetrievalPair]:
    """Returns verses of a language with their translations into English."""
    seen: set[str] = set()
    pairs = []
    for place in scattered(verses, "verse-retrieval"):
        texts = verses[place]
        # A candidate that is there twice could not be told from itself, in whichever language.
        if seen.isdisjoint(texts.values()):
            pairs.append(RetrievalPair(str(place), texts[language], texts["en"]))
            seen.update(texts.values())
    return pairs[:limit]


VERSE_RETRIEVAL = DataTask(
    name="verse-retrieval",
    ability="language",
    kind="retrieval",
    headline="acc_centred",
    description="find a verse's English translation by mean-pooled hidden states of a middle block; parallel",
    codes=tuple(language for language in LANGUAGES if language != "en"),
    read=lambda language, limit: make_pairs(task_verses(), language, limit),
    is_cached=is_cached,
)
