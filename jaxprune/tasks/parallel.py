"""The same sentences in several languages: verses, with which no model was calibrated, or a file of the user's."""

import json
from collections.abc import Sequence
from pathlib import Path

from jaxprune.data.text_files import read_lines
from jaxprune.errors import RequestError
from jaxprune.tasks.task_files import PREFIX
from jaxprune.tasks.verse_retrieval import make_pairs
from jaxprune.tasks.verses import LANGUAGES, task_verses

SAMPLE, NONE = "sample", "none"

_LINE = '{"de": "...", "en": "..."}'

HELP = f"{SAMPLE}, {NONE}, or {PREFIX}PATH.jsonl with lines like {_LINE}"

# Retrieval and alignment of fewer say nothing.
_FEWEST = 10


def check_reference(reference: str) -> None:
    """Raises RequestError unless ``reference`` is one that ``parallel_sentences`` knows."""
    if reference in (SAMPLE, NONE):
        return
    if not reference.startswith(PREFIX):
        raise RequestError(f"--sentences {reference} names no parallel sentences; give {HELP}.")
    if not _path(reference).is_file():
        raise RequestError(f"--sentences {reference} was given, but {_path(reference)} is no file; check its name.")


def parallel_sentences(reference: str, languages: Sequence[str], count: int) -> dict[str, list[str]]:
    """Returns up to ``count`` sentences in each language that has them, in the same order; none for ``none``.

    Raises:
      RequestError: there are fewer than ten, or a file's line lacks a language; says which.
    """
    check_reference(reference)
    if reference == NONE:
        return {}
    if reference == SAMPLE:
        known = [language for language in languages if language in LANGUAGES]
        if len(known) < 2:
            raise RequestError(
                f"--sentences {SAMPLE} has {', '.join(known) or 'none'} of {', '.join(languages)}, and two languages "
                f"are the least; it has {', '.join(LANGUAGES)}. Give others, or {HELP}."
            )
        verses = task_verses()
        found = {language: [pair.source for pair in make_pairs(verses, language, count)] for language in known}
    else:
        found = _read(_path(reference), languages, count)
    fewest = min(map(len, found.values()), default=0)
    if len(found) < 2 or fewest < _FEWEST:
        raise RequestError(
            f"--sentences {reference} has {fewest} sentences in {', '.join(found) or 'none'} of the languages; "
            f"{_FEWEST} in two languages are the least; give {HELP}."
        )
    return found


def _path(reference: str) -> Path:
    return Path(reference.removeprefix(PREFIX)).expanduser()


def _read(path: Path, languages: Sequence[str], count: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {language: [] for language in languages}
    for number, line in read_lines(path):
        if len(found[languages[0]]) == count:
            break
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise RequestError(f"{path}:{number} is no JSON ({error.msg}); write lines like {_LINE}.") from None
        for language in languages:
            text = values.get(language) if isinstance(values, dict) else None
            if not isinstance(text, str) or not text.strip():
                raise RequestError(f"{path}:{number} has no text under {language!r}; give every line all languages.")
            found[language].append(text)
    return found
