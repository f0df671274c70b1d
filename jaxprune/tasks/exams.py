"""exams: multiple-choice questions of exams that people take.

Of 16 languages from schools (EXAMS, Hardalov et al., 2020, https://arxiv.org/abs/2011.03080). English is not among
them: its questions are those of the licence for amateur radio in the USA; nor is Japanese: its are of the IT Passport
and the national medical exam, fewer than others. So the questions differ from language to language. An answer is
scored as text that follows the question, not as its letter: small models do not know what to do with letters.
"""

import dataclasses
import json
import re
from pathlib import Path

from jaxprune.bundles import fetch_bundle, is_cached
from jaxprune.tasks.items import ChoiceItem, DataTask, scattered
from jaxprune.tasks.packages import (
    EXAM_LANGUAGES,
    EXAMS,
    IT_EXAM,
    MEDICAL_EXAMS,
    OTHER_EXAMS,
    RADIO_EXAM,
    exams_paths,
)


@dataclasses.dataclass(frozen=True)
class Form:
    """How a file writes a question.

    Attributes:
      letters: of its options, as many as there can be.
      option: what stands before an option; its group is the letter.
      answer: what the right one is called; its group is the letter.
      end: what follows the last option.
      fewest: options at least.
      unclear: what a question has that cannot be answered without something that is not in the file.
    """

    letters: str
    option: re.Pattern[str]
    answer: re.Pattern[str]
    end: str = ""
    fewest: int = 2
    unclear: re.Pattern[str] | None = None


SCHOOL = Form("ABCDEFGH", re.compile(r"\n([A-H])\. "), re.compile(r"\[([A-H])\]"), end="\nAnswer:")
RADIO = Form("ABCD", re.compile(r"\n([A-D])\. ?"), re.compile("([A-D])"), fewest=4)
IT = Form("アイウエ", re.compile(r"\n([アイウエ]): "), re.compile("([アイウエ])"), fewest=4)
MEDICAL = Form(
    "ABCDE",
    re.compile(r"(?<![A-Za-z])([A-E]) "),
    re.compile("([A-E])"),
    end=" 回答は必ず半角大文字英語のみ。",
    fewest=5,
    # Where numbers got lost, a gap is left.
    unclear=re.compile(" {3}"),
)

_FORMS = {RADIO_EXAM: RADIO, IT_EXAM: IT} | dict.fromkeys(MEDICAL_EXAMS, MEDICAL)


def _items(language: str, limit: int | None) -> list[ChoiceItem]:
    folder = fetch_bundle(EXAMS)
    items = []
    for path in exams_paths(language):
        prefix = f"{Path(path).parent.name}-" if language in OTHER_EXAMS else ""
        items += read_items(folder / path, f"{language}-{prefix}", _FORMS.get(path, SCHOOL))
    return scattered(items, "exams", lambda item: item.id)[:limit]


def read_items(path: Path, prefix: str, form: Form) -> list[ChoiceItem]:
    """Returns the questions of one file, those left out whose options are not told apart.

    Args:
      path: of JSON lines.
      prefix: of ids, before the number of the line from 0 on.
      form: how the file writes questions.
    """
    with path.open(encoding="utf-8") as lines:
        parsed = [parse(json.loads(line), f"{prefix}{number}", form) for number, line in enumerate(lines)]
    return [item for item in parsed if item is not None]


def parse(record: dict, id_: str, form: Form = SCHOOL) -> ChoiceItem | None:
    """Returns the question that a prompt was made of; None where its options cannot be told apart."""
    text = record["input"][-1]["content"].removesuffix(form.end)
    question, *parts = form.option.split(text)
    letters, choices = "".join(parts[::2]), tuple(choice.strip() for choice in parts[1::2])
    right = form.answer.fullmatch(record["ideal"])
    if right is None or right[1] not in letters or len(letters) < form.fewest:
        return None
    if "".join(sorted(letters)) != form.letters[: len(letters)] or (form.unclear and form.unclear.search(text)):
        return None
    if not all(choices) or len(set(choices)) < len(choices):
        return None
    return ChoiceItem(id_, question.strip() + "\n", choices, letters.index(right[1]))


TASK = DataTask(
    name="exams",
    ability="knowledge",
    kind="choice",
    headline="acc_norm",
    description="questions of exams, three to five answers (EXAMS; en: amateur radio; ja: IT and medicine, 162 items)",
    codes=tuple(sorted((*EXAM_LANGUAGES, *OTHER_EXAMS))),
    read=_items,
    is_cached=lambda: is_cached(EXAMS),
)
