"""exams: multiple-choice questions of school exams (EXAMS, Hardalov et al., 2020, https://arxiv.org/abs/2011.03080).

The questions differ from language to language. An answer is scored as text that follows the question, not as its
letter: small models do not know what to do with letters.
"""

import json
import re
from pathlib import Path

from jaxprune.bundles import fetch_bundle
from jaxprune.tasks.items import ChoiceItem, DataTask, scattered
from jaxprune.tasks.packages import EXAM_LANGUAGES, EXAMS, exams_path

_END = "\nAnswer:"
_LETTERS = "ABCDEFGH"
_OPTION = re.compile(rf"\n([{_LETTERS}])\. ")
_RIGHT = re.compile(rf"\[([{_LETTERS}])\]")


def _items(language: str, limit: int | None) -> list[ChoiceItem]:
    return read_items(fetch_bundle(EXAMS) / exams_path(language), language)[:limit]


def read_items(path: Path, language: str) -> list[ChoiceItem]:
    """Returns the questions of one file, those left out whose options are not told apart."""
    items = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            item = parse(json.loads(line), f"{language}-{number}")
            if item is not None:
                items.append(item)
    return scattered(items, "exams", lambda item: item.id)


def parse(record: dict, id_: str) -> ChoiceItem | None:
    """Returns the question that a prompt was made of; None where its options cannot be told apart."""
    question, *parts = _OPTION.split(record["input"][-1]["content"].removesuffix(_END))
    letters, choices = "".join(parts[::2]), tuple(choice.strip() for choice in parts[1::2])
    right = _RIGHT.fullmatch(record["ideal"])
    if right is None or right[1] not in letters or not _LETTERS.startswith(letters):
        return None
    if not all(choices) or len(set(choices)) < len(choices):
        return None
    return ChoiceItem(id_, question.strip() + "\n", choices, letters.index(right[1]))


TASK = DataTask(
    name="exams",
    ability="knowledge",
    kind="choice",
    headline="acc_norm",
    description="questions of school exams (EXAMS), three to five answers",
    codes=tuple(sorted(EXAM_LANGUAGES)),
    read=_items,
)
