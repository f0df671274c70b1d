"""sentiment: whether a review is positive, negative, neutral or mixed.

MultiEmo (Kocoń et al., 2021, https://doi.org/10.1007/978-3-030-77964-1_24): reviews in Polish, translated by machine
into the other languages, so parallel. Prompt and labels are in the review's language.
"""

from typing import Any, NamedTuple

from jaxprune.tasks.big_bench import examples, is_cached
from jaxprune.tasks.items import ChoiceItem, DataTask, scattered
from jaxprune.tasks.packages import REVIEW_LANGUAGES, reviews_path

LABELS = ("positive", "negative", "neutral", "ambivalent")


class Wording(NamedTuple):
    """What stands before a review and before its label, and the labels' names in the order of ``LABELS``."""

    review: str
    sentiment: str
    labels: tuple[str, ...]


WORDINGS = {
    "de": Wording("Bewertung: ", "Stimmung: ", ("positiv", "negativ", "neutral", "gemischt")),
    "en": Wording("Review: ", "Sentiment: ", ("positive", "negative", "neutral", "mixed")),
    "es": Wording("Reseña: ", "Sentimiento: ", ("positivo", "negativo", "neutral", "mixto")),
    "fr": Wording("Avis : ", "Sentiment : ", ("positif", "négatif", "neutre", "mitigé")),
    "it": Wording("Recensione: ", "Sentimento: ", ("positivo", "negativo", "neutro", "misto")),
    "ja": Wording("レビュー：", "感情：", ("肯定的", "否定的", "中立的", "複雑")),
    "nl": Wording("Recensie: ", "Sentiment: ", ("positief", "negatief", "neutraal", "gemengd")),
    "pt": Wording("Avaliação: ", "Sentimento: ", ("positivo", "negativo", "neutro", "misto")),
    "ru": Wording("Отзыв: ", "Тональность: ", ("положительная", "отрицательная", "нейтральная", "смешанная")),
    "zh": Wording("评论：", "情感：", ("正面", "负面", "中性", "复杂")),
}


def _items(language: str, limit: int | None) -> list[ChoiceItem]:
    return make_items(examples(reviews_path(language)), language, limit)


def make_items(reviews: list[dict[str, Any]], language: str, limit: int | None) -> list[ChoiceItem]:
    """Returns the items of a language; those of the same number are the same review in each."""
    wording = WORDINGS[language]
    items = []
    for number in scattered(range(len(reviews)), "sentiment")[:limit]:
        scores = reviews[number]["target_scores"]
        answer = max(range(len(LABELS)), key=lambda label: scores[LABELS[label]])
        context = f"{wording.review}{reviews[number]['input'].strip()}\n{wording.sentiment}"
        items.append(ChoiceItem(f"review-{number}", context, wording.labels, answer))
    return items


TASK = DataTask(
    name="sentiment",
    ability="language",
    kind="choice",
    headline="acc",
    description="positive, negative, neutral or mixed review (MultiEmo); parallel",
    codes=REVIEW_LANGUAGES,
    read=_items,
    is_cached=is_cached,
)
