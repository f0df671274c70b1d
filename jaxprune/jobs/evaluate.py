"""Measures a checkpoint on downstream tasks, in the languages that have items."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh

from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.errors import RequestError
from jaxprune.evaluation.intervals import Interval
from jaxprune.evaluation.retrieval import check_block, default_block
from jaxprune.evaluation.score_intervals import score_interval
from jaxprune.jobs.task_measures import Measured, OnStage, measure_choices, measure_generation, measure_retrieval
from jaxprune.sweep import OnTokens
from jaxprune.tasks import Task, check_files, open_task
from jaxprune.tasks.baselines import choice_baselines, generation_baselines, retrieval_baselines
from jaxprune.tasks.items import Item
from jaxprune.tasks.text_scores import check_installed


@dataclasses.dataclass(frozen=True)
class PreparedTasks:
    """Tasks with their items.

    Attributes:
      tasks: by name.
      items: by task and language; both in the order asked for.
      missing: ``[task, language]`` of which there are none.
    """

    tasks: dict[str, Task]
    items: dict[str, dict[str, Sequence[Item]]]
    missing: list[list[str]]

    def of_kind(self, kind: str) -> dict[tuple[str, str], Sequence[Any]]:
        """Returns the items of one kind of task, by task and language."""
        return {
            (task, language): items
            for task, languages in self.items.items()
            for language, items in languages.items()
            if self.tasks[task].kind == kind
        }

    @property
    def num_items(self) -> int:
        """All items of all languages."""
        return sum(len(items) for languages in self.items.values() for items in languages.values())


class Metric(NamedTuple):
    """A mean over items, from 0 to 1; tasks of others may have another scale.

    Attributes:
      interval: where the mean of all such items is, 95 %: Wilson's of what is right or wrong, a bootstrap's of grades.
        None of grades of one item, and of grades that are all the same.
    """

    value: float
    interval: Interval | None


@dataclasses.dataclass(frozen=True)
class TaskScores:
    """How a model did in one language of a task.

    Attributes:
      items: how many.
      metrics: by name.
      baselines: what the headline metric is without a model (``jaxprune.tasks.baselines``).
      ids: of the items.
      per_item: for each metric float64 ``[items]``, in the order of ``ids``.
      details: for each item what the model said, for people to look at.
      cut: contexts or prompts that were longer than the model was made for, and lost their beginning.
      empty: generations without a character, which score 0; None where nothing is generated.
    """

    items: int
    metrics: dict[str, Metric]
    baselines: dict[str, float]
    ids: tuple[str, ...]
    per_item: dict[str, np.ndarray]
    details: tuple[dict[str, Any], ...]
    cut: int
    empty: int | None


def prepare_tasks(
    names: Sequence[str],
    languages: Sequence[str],
    limit_of: Callable[[str], int | None],
    *,
    only: Mapping[str, Sequence[str]] | None = None,
) -> PreparedTasks:
    """Returns the items of tasks, whose data are fetched if need be.

    A language that a task has no items in is reported, and the others go on.

    Args:
      names: of tasks, or ``file:PATH.jsonl``.
      limit_of: given a task's name, its items for each language; None: all.
      only: for tasks that are not asked in all ``languages``, those in which they are.

    Raises:
      RequestError: a task is unknown, cannot be read, or is named twice; a package that scores it is missing; or no
        language has items.
    """
    check_files(names)
    tasks = {name: open_task(name) for name in names}
    if any(task.kind == "generation" for task in tasks.values()):
        check_installed()
    asked = {name: (only or {}).get(name, languages) for name in tasks}
    missing = [
        [name, language]
        for name, of_task in asked.items()
        for language in of_task
        if language not in tasks[name].languages()
    ]
    if len(missing) == sum(map(len, asked.values())):
        known = "; ".join(f"{name} has {', '.join(task.languages())}" for name, task in tasks.items())
        raise RequestError(
            f"no task has items in {', '.join(languages)}: {known}; ask for another language or another task."
        )
    items = {
        name: {
            language: task.items(language, limit_of(name))
            for language in asked[name]
            if [name, language] not in missing
        }
        for name, task in tasks.items()
    }
    return PreparedTasks(tasks, {name: of_task for name, of_task in items.items() if of_task}, missing)


def evaluate(
    checkpoint: Checkpoint,
    prepared: PreparedTasks,
    *,
    mesh: Mesh,
    compute_dtype: np.dtype,
    block: int | None = None,
    on_tokens: OnTokens = lambda tokens: None,
    on_stage: Callable[[str, int], OnTokens] | None = None,
) -> dict[str, dict[str, TaskScores]]:
    """Returns the scores of every task and language.

    Choices and retrieval read one block of the checkpoint at a time; for generation the whole model has to fit into
    memory.

    Args:
      block: after how many blocks retrieval takes its hidden states; None: after two thirds of them.
      on_tokens: told the tokens computed, and of generation those made or not needed any more.
      on_stage: told what begins and how many tokens it will report; gives the listener for them, in place of
        ``on_tokens``.

    Raises:
      RequestError: an item does not fit the model, or what it computes is not finite.
    """
    stage: OnStage = on_stage or (lambda name, total: on_tokens)
    settings: dict[str, Any] = {"mesh": mesh, "dtype": compute_dtype, "on_stage": stage}
    measured: dict[tuple[str, str], Measured] = {}
    if questions := prepared.of_kind("choice"):
        measured |= measure_choices(checkpoint, questions, **settings)
    if pairs := prepared.of_kind("retrieval"):
        block = default_block(checkpoint.model) if block is None else block
        measured |= measure_retrieval(checkpoint, pairs, block=block, **settings)
    if prompts := prepared.of_kind("generation"):
        measured |= measure_generation(checkpoint, prompts, **settings)
    return {
        name: {
            language: summarise(prepared.tasks[name], items, measured[name, language])
            for language, items in languages.items()
        }
        for name, languages in prepared.items.items()
    }


def check_settings(checkpoint: Checkpoint, block: int | None) -> None:
    """Checks what can be known before anything is computed.

    Raises:
      RequestError: the model has no such block.
    """
    if block is not None:
        check_block(checkpoint.model, block)


def summarise(task: Task, items: Sequence[Any], measured: Measured) -> TaskScores:
    """Returns the means of what was measured, with intervals, and baselines."""
    if task.kind == "choice":
        baselines = choice_baselines(items)
    elif task.kind == "retrieval":
        baselines = retrieval_baselines(items)
    else:
        baselines = generation_baselines(items, task.headline)
    return TaskScores(
        items=len(items),
        metrics={name: mean_of(name, measured.per_item[name]) for name in task.metrics},
        baselines=baselines,
        ids=tuple(item.id for item in items),
        per_item={name: measured.per_item[name] for name in task.metrics},
        details=measured.details,
        cut=measured.cut,
        empty=measured.empty,
    )


def mean_of(metric: str, scores_N: np.ndarray) -> Metric:
    """Returns the mean of the scores of items, with the interval that fits the metric."""
    return Metric(float(scores_N.mean()), score_interval(metric, scores_N[None]))


def as_json(
    model: str, prepared: PreparedTasks, scores: Mapping[str, Mapping[str, TaskScores]], limit: int | None
) -> dict[str, Any]:
    """Returns what ``evaluate --json`` prints."""
    return {
        "model": model,
        "limit": limit,
        "tasks": {
            name: {
                "ability": prepared.tasks[name].ability,
                "kind": prepared.tasks[name].kind,
                "headline": prepared.tasks[name].headline,
                "languages": {language: _plain(found) for language, found in languages.items()},
            }
            for name, languages in scores.items()
        },
        "missing": prepared.missing,
    }


def _plain(found: TaskScores) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "items": found.items,
        "metrics": {
            name: {"value": metric.value, "interval": metric.interval} for name, metric in found.metrics.items()
        },
        "baselines": found.baselines,
        "cut": found.cut,
    }
    return plain if found.empty is None else {**plain, "empty": found.empty}


def item_records(scores: Mapping[str, Mapping[str, TaskScores]]) -> Iterator[dict[str, Any]]:
    """Yields each item's outcome: task, language, id, metrics, and what the model said."""
    for name, languages in scores.items():
        for language, found in languages.items():
            for index, (id_, detail) in enumerate(zip(found.ids, found.details, strict=True)):
                metrics = {metric: float(of_items[index]) for metric, of_items in found.per_item.items()}
                yield {"task": name, "language": language, "id": id_, "metrics": metrics, **detail}
