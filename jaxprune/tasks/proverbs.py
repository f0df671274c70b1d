"""proverbs: which of four proverbs of another language means the same.

From BIG-bench; fewer than the other tasks have, so wide intervals.
"""

from typing import Any, NamedTuple

from jaxprune.tasks.big_bench import examples, is_cached
from jaxprune.tasks.items import ChoiceItem, DataTask, scattered, with_answer
from jaxprune.tasks.packages import PROVERBS, proverbs_path


class _Sides(NamedTuple):
    """The languages of question and answers."""

    question: str
    answers: str


_SIDES = {"de": _Sides("Swedish", "German"), "ru": _Sides("English", "Russian"), "sw": _Sides("Swahili", "English")}


def make_items(proverbs: list[dict[str, Any]], language: str, limit: int | None) -> list[ChoiceItem]:
    """Returns the items of a language."""
    sides = _SIDES[language]
    items = []
    for number in scattered(range(len(proverbs)), "proverbs")[:limit]:
        scores = proverbs[number]["target_scores"]
        right = max(scores, key=scores.__getitem__)
        id_ = f"{language}-{number}"
        # In Swahili's, the right one is always the first.
        choices, answer = with_answer(right, [text for text in scores if text != right], id_)
        context = (
            f"{sides.question} proverb: {proverbs[number]['input'].strip()}\n"
            f"{sides.answers} proverb with the same meaning: "
        )
        items.append(ChoiceItem(id_, context, choices, answer))
    return items


TASK = DataTask(
    name="proverbs",
    ability="reasoning",
    kind="choice",
    headline="acc_mutual_info",
    description="which of four proverbs of another language means the same (BIG-bench; 72 to 153 items)",
    codes=tuple(sorted(PROVERBS)),
    read=lambda language, limit: make_items(examples(proverbs_path(language)), language, limit),
    is_cached=is_cached,
)
