"""Tasks of lm-evaluation-harness in a study file: a name of the study's own, and the harness's for each language."""

import pydantic
from pydantic import Field

from jaxprune.studies.config.errors import FieldError
from jaxprune.studies.config.parts import NAME, Count, Part, Word
from jaxprune.tasks import TASKS
from jaxprune.tasks.items import ABILITIES, Ability


class HarnessTask(Part):
    """One task in several languages.

    Attributes:
      metric: the harness's name of what an item scores.
      ability: what it asks for, which the harness does not say.
      languages: the harness's name of the task, or of a group of tasks, for each.
      filter: where a task filters answers in several ways, the name of the one that counts.
      limit: instead of that of all.
    """

    metric: Word
    ability: Ability
    languages: dict[Word, Word] = Field(min_length=1)
    filter: Word | None = None
    limit: Count | None = None


class Harness(Part):
    """Tasks of lm-evaluation-harness, by names of the study's own.

    Attributes:
      tasks: by name.
      limit: how many of their items to take for each language; all without one.
      include: folder of more tasks in the harness's format; like all paths of a study file, from where the command is
        run, so that the copy of the file in the results' folder means the same.
    """

    tasks: dict[Word, HarnessTask] = Field(min_length=1)
    limit: Count | None = None
    include: Word | None = None

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Harness":
        for name in self.tasks:
            if not NAME.fullmatch(name):
                raise FieldError(("tasks", name), "is no name of a task; use letters, digits and _.+=-")
            if name in TASKS or name in ABILITIES or name == "perplexity":
                what = "a task" if name in TASKS else "a measure"
                raise FieldError(("tasks", name), f"is {what} of jaxprune's own; call it otherwise, such as {name}-2")
        return self

    def limit_of(self, name: str) -> int | None:
        """Returns how many items of a task to take for each language; None: all."""
        return self.tasks[name].limit or self.limit
