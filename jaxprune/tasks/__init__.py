"""The project's own downstream tasks: one file a task, the language a parameter.

Their data come from packages, fetched when they are first needed, checked by hash, and never part of this repository.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path

from jaxprune.errors import RequestError
from jaxprune.tasks import exams, next_sentence, proverbs, sentiment, summarisation, translation
from jaxprune.tasks.items import ChoiceItem, GenerationItem, RetrievalPair, Task
from jaxprune.tasks.next_verse import NEXT_VERSE
from jaxprune.tasks.task_files import PREFIX, TaskFile
from jaxprune.tasks.verse_retrieval import VERSE_RETRIEVAL

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        NEXT_VERSE,
        VERSE_RETRIEVAL,
        translation.TRANSLATION_CHOICE,
        translation.TRANSLATION_FROM_ENGLISH,
        translation.TRANSLATION_TO_ENGLISH,
        exams.TASK,
        sentiment.TASK,
        next_sentence.TASK,
        summarisation.TASK,
        proverbs.TASK,
    )
}
"""By name."""

__all__ = [
    "TASKS",
    "ChoiceItem",
    "GenerationItem",
    "RetrievalPair",
    "Task",
    "check_files",
    "check_metric",
    "open_task",
    "parse_tasks",
]


def open_task(name: str) -> Task:
    """Returns the task called ``name``, or the one that ``file:PATH.jsonl`` holds.

    Raises:
      RequestError: there is no such task (lists those there are), or the file is not as it should be.
    """
    if name.startswith(PREFIX):
        return TaskFile.open(name)
    if name not in TASKS:
        close = difflib.get_close_matches(name, TASKS, n=1)
        guess = f" Did you mean {close[0]}?" if close else ""
        raise RequestError(
            f"there is no task {name!r}; known: {', '.join(TASKS)}, or file:PATH.jsonl for items of your own.{guess}"
        )
    return TASKS[name]


def check_files(names: Sequence[str]) -> None:
    """Checks that no two names are of one file, whose items would count twice.

    Raises:
      RequestError: two are.
    """
    first: dict[Path, str] = {}
    for name in names:
        if name.startswith(PREFIX):
            before = first.setdefault(Path(name.removeprefix(PREFIX)).expanduser().resolve(), name)
            if before != name:
                raise RequestError(f"{before} and {name} are one file, whose items would count twice; name it once.")


def parse_tasks(text: str | None) -> list[str]:
    """Reads ``next-verse,exams``.

    Raises:
      RequestError: none is named, or one twice.
    """
    names = [part.strip() for part in (text or "").split(",") if part.strip()]
    if not names:
        raise RequestError(
            "no task was named; say which with --tasks, for example --tasks next-verse (--tasks list lists them)."
        )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise RequestError(f"--tasks names {', '.join(repeated)} more than once; name each once.")
    return names


def check_metric(metric: str, tasks: Sequence[Task]) -> None:
    """Checks that at least one of some tasks is measured by ``metric``.

    Raises:
      RequestError: none is; lists what they are measured by.
    """
    known = list(dict.fromkeys(name for task in tasks for name in task.metrics))
    if metric not in known:
        close = difflib.get_close_matches(metric, known, n=1)
        guess = f" Did you mean {close[0]}?" if close else ""
        of = ", ".join(task.name for task in tasks)
        raise RequestError(f"there is no metric {metric!r} of {of}; known: {', '.join(known)}.{guess}")
