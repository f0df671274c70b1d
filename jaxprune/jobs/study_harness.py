"""The tasks of lm-evaluation-harness in a study: checked before anything is pruned, asked of every model.

What comes of them has the form of this project's own tasks, and so nothing after this tells the two apart.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.sharding import Mesh

from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.jobs.evaluate import mean_of
from jaxprune.studies.config.harness import Harness
from jaxprune.sweep import OnTokens

if TYPE_CHECKING:
    from jaxprune.harness.measuring import Answers, Asked, TaskSet

PLACE = "evaluation.harness"

_KINDS = {"multiple_choice": "choice", "generate_until": "generation"}


class HarnessTasks:
    """A study's tasks of the harness; their data are fetched when a first model is asked."""

    def __init__(self, asked: Harness, tasks: "TaskSet"):
        """Keeps both.

        Args:
          asked: by the study.
          tasks: that the harness has.
        """
        self._asked = asked
        self._tasks = tasks

    def missing(self, languages: tuple[str, ...]) -> list[list[str]]:
        """Returns ``[task, language]`` of which there are none."""
        return [
            [name, language]
            for name, task in self._asked.tasks.items()
            for language in languages
            if language not in task.languages
        ]

    def measure(
        self,
        model: Checkpoint,
        *,
        mesh_for: Callable[[int], Mesh],
        dtype: np.dtype,
        on_stage: Callable[[str, int], OnTokens],
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Returns what the model scores, and each item: ``tasks`` of ``result.json``, and parts of ``items.npz``.

        Args:
          mesh_for: the mesh for so many items.
          dtype: of all computation.
          on_stage: told what begins and how many tokens it will report; gives the listener for them.

        Raises:
          RequestError: the data of a task cannot be had, or it does not give the score that was asked for.
        """
        from jaxprune.harness.language_model import CheckpointLM

        @contextlib.contextmanager
        def show(what: str, total: int, *, disable: bool) -> Iterator[OnTokens]:
            del disable
            yield on_stage(what, total)

        questions = self._questions()
        num_items = sum(len(self._tasks.choose(asked)) for asked in questions.values())
        lm = CheckpointLM(model, mesh=mesh_for(num_items), dtype=dtype, show=show)
        answers = dict(zip(questions, self._tasks.ask(lm, list(questions.values())), strict=True))
        tasks: dict[str, Any] = {}
        items: dict[str, np.ndarray] = {}
        for (name, language), found in answers.items():
            asked = self._asked.tasks[name]
            task = tasks.setdefault(
                name,
                {
                    "ability": asked.ability,
                    "kind": _KINDS.get(found.output_type, found.output_type),
                    "headline": asked.metric,
                    "languages": {},
                },
            )
            task["languages"][language] = _plain(found, asked.metric, asked.languages[language])
            items[f"ids/tasks/{name}/{language}"] = np.asarray(found.ids)
            items[f"digests/tasks/{name}/{language}"] = np.asarray(found.digests)
            items[f"tasks/{name}/{language}/{asked.metric}"] = found.scores_N
        return tasks, items

    def _questions(self) -> "dict[tuple[str, str], Asked]":
        from jaxprune.harness.measuring import Asked

        return {
            (name, language): Asked(of, task.metric, task.filter, self._asked.limit_of(name))
            for name, task in self._asked.tasks.items()
            for language, of in task.languages.items()
        }


def open_harness(asked: Harness, check: Callable[[str, Callable[[], Any]], Any]) -> HarnessTasks:
    """Checks all that can be known of tasks without their data.

    Args:
      asked: by the study.
      check: calls something, and says of which place of the study file an error of it is.

    Raises:
      RequestError: the harness is not installed, has no such task, or that has no such metric.
    """
    include = None if asked.include is None else Path(asked.include).expanduser()
    names = {of for task in asked.tasks.values() for of in task.languages.values()}
    check(PLACE, _import)

    from jaxprune.harness.measuring import TaskSet
    from jaxprune.harness.task_checks import check_filter, check_metric, check_runs
    from jaxprune.harness.task_index import check_name, open_index

    manager = check(f"{PLACE}.include", functools.partial(open_index, names, include))
    for name, task in asked.tasks.items():
        place = f"{PLACE}.tasks.{name}"
        for language, of in task.languages.items():
            check(f"{place}.languages.{language}", functools.partial(check_name, manager, of))
            check(f"{place}.languages.{language}", functools.partial(check_runs, manager, of))
            check(f"{place}.metric", functools.partial(check_metric, manager, of, task.metric))
            check(f"{place}.filter", functools.partial(check_filter, manager, of, task.filter))
    return HarnessTasks(asked, TaskSet(manager))


def _import() -> None:
    import jaxprune.harness

    del jaxprune


def _plain(found: "Answers", metric: str, name: str) -> dict[str, Any]:
    value = mean_of(metric, found.scores_N)
    return {
        "items": len(found.ids),
        "metrics": {metric: {"value": value.value, "interval": value.interval}},
        "baselines": found.baselines,
        "harness": {"task": name, "versions": list(found.versions), "shots": list(found.shots)},
    }
