"""What a study file says of measuring: languages, windows of text, tasks."""

import re
from collections.abc import Callable
from typing import Annotated, Any

import pydantic
from pydantic import Field

from jaxprune.errors import RequestError
from jaxprune.studies.config.errors import FieldError, check_known
from jaxprune.studies.config.harness import Harness
from jaxprune.studies.config.parts import Count, Part, Word, check_repeated, check_sources

PERPLEXITY = "perplexity"

_LANGUAGE = re.compile(r"[A-Za-z]+(?:[-_][A-Za-z0-9]+)*")


class Windows(Part):
    """Windows to measure on, of evaluation text, for each language."""

    texts: Word
    windows: Count
    length: Annotated[int, Field(strict=True, ge=2)] = 2048

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Windows":
        check_sources("texts", self.texts)
        return self


class PerplexityWindows(Windows):
    """Those of perplexity."""

    windows: Count = 64


class SnrWindows(Windows):
    """Those of signal-to-noise ratios."""

    windows: Count = 16


class Tasks(Part):
    """Tasks, by name, and how many of their items to take for each language; all without a limit.

    Attributes:
      limits: of single tasks, whose items cost more or less than others'.
      only: the languages of single tasks that are asked in some languages of the study and not in all.
    """

    names: tuple[Word, ...] = Field(min_length=1)
    limit: Count | None = None
    limits: dict[Word, Count] = Field(default={})
    only: dict[Word, Annotated[tuple[Word, ...], Field(min_length=1)]] = Field(default={})

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Tasks":
        check_repeated("names", self.names)
        for field, of in (("limits", self.limits), ("only", self.only)):
            for name in of:
                check_known(field, name, self.names, what="task in names")
        for name, languages in self.only.items():
            check_repeated(("only", name), languages)
        return self

    @pydantic.model_serializer(mode="wrap")
    def _plain(self, serialize: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        # Results remember what was asked. Those from before there was ``only`` have been asked the same without it, and
        # in whatever order languages are named, the same is asked.
        plain = serialize(self)
        own = {"only": {name: sorted(languages) for name, languages in self.only.items()}} if self.only else {}
        return {key: value for key, value in plain.items() if key != "only"} | own

    def limit_of(self, name: str) -> int | None:
        """Returns how many items of a task to take for each language; None: all."""
        return self.limits.get(name, self.limit)


class Evaluation(Part):
    """What is measured of every point, and in which languages."""

    languages: tuple[Word, ...] = Field(min_length=1)
    perplexity: PerplexityWindows | None = None
    snr: SnrWindows | None = None
    tasks: Tasks | None = None
    harness: Harness | None = None

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Evaluation":
        check_repeated("languages", self.languages)
        for index, language in enumerate(self.languages):
            if not _LANGUAGE.fullmatch(language):
                raise FieldError(("languages", index), f"{language!r} is no code of a language; write one such as de")
        if self.perplexity is None and self.snr is None and self.tasks is None and self.harness is None:
            raise RequestError("nothing is measured; give perplexity, snr, tasks or harness")
        places = {
            ("tasks", "only", name, language): language
            for name, languages in (self.tasks.only if self.tasks else {}).items()
            for language in languages
        } | {
            ("harness", "tasks", name, "languages", language): language
            for name, task in (self.harness.tasks if self.harness else {}).items()
            for language in task.languages
        }
        for place, language in places.items():
            if language not in self.languages:
                known = ", ".join(self.languages)
                raise FieldError(
                    place, f"is none of evaluation.languages ({known}); write it there too, or leave it out"
                )
        return self

    @property
    def measures(self) -> tuple[str, ...]:
        """What a criterion can weigh: ``perplexity``, and the tasks by name."""
        own = self.tasks.names if self.tasks else ()
        return (
            *(() if self.perplexity is None else (PERPLEXITY,)),
            *own,
            *(self.harness.tasks if self.harness else ()),
        )

    def languages_of(self, task: str) -> tuple[str, ...]:
        """Returns the languages in which a task is asked; it may have no items in some."""
        return self.languages if self.tasks is None else self.tasks.only.get(task, self.languages)

    def limit_of(self, task: str) -> int | None:
        """Returns how many items of a task to take for each language; None: all."""
        if self.harness is not None and task in self.harness.tasks:
            return self.harness.limit_of(task)
        return None if self.tasks is None else self.tasks.limit_of(task)
