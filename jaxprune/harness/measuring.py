"""Tasks of lm-evaluation-harness, item by item: which documents are asked, and what a model makes of each.

Shapes: N items.
"""

import contextlib
import dataclasses
import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import lm_eval.api.task
import numpy as np
from lm_eval.api.metrics import mean
from lm_eval.api.model import LM
from lm_eval.api.task import Task
from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

from jaxprune.errors import RequestError
from jaxprune.harness.baselines import baselines
from jaxprune.harness.task_checks import one_line
from jaxprune.tasks.items import scattered


@dataclasses.dataclass(frozen=True)
class Asked:
    """A task or group, and what of it counts.

    Attributes:
      name: the harness's.
      metric: one of the task's, the mean of its items' scores, of which more is better.
      filter: what is done to answers first, by the task's name for it; None: the only thing that is.
      limit: items of all of a group's tasks together, the first so many of an order that scatters them; None: all.
    """

    name: str
    metric: str
    filter: str | None = None
    limit: int | None = None


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a model makes of the items of a task or group.

    Attributes:
      output_type: what it is asked for, in the harness's words.
      ids: of the items, ``TASK/DOCUMENT``.
      digests: 16 hexadecimal digits for all that an item asks and what is right.
      scores_N: float64.
      baselines: what is scored without a model, as far as the task tells.
      versions: of its tasks; one, if they have the same.
      shots: examples before each question; the same.
    """

    output_type: str
    ids: tuple[str, ...]
    digests: tuple[bytes, ...]
    scores_N: np.ndarray
    baselines: dict[str, float]
    versions: tuple[str, ...]
    shots: tuple[int, ...]


class TaskSet:
    """Tasks whose data are fetched once, and which any number of models are asked."""

    def __init__(self, manager: TaskManager):
        """Fetches nothing yet.

        Args:
          manager: knows the tasks.
        """
        self._manager = manager
        self._loaded: dict[str, dict[str, Task]] = {}
        self._sizes: dict[str, int] = {}

    def choose(self, asked: Asked) -> list[tuple[str, int]]:
        """Returns the items that are asked: task and number of the document, in their order.

        Of parallel tasks, the same ones in each language.

        Raises:
          RequestError: the data cannot be had, or there are none.
        """
        names = list(self._load(asked.name))
        documents = [(place, index) for place, name in enumerate(names) for index in range(self._sizes[name])]
        if not documents:
            raise RequestError(f"{asked.name} of lm-evaluation-harness has no documents to ask; choose another task.")
        if asked.limit is not None and asked.limit < len(documents):
            documents = sorted(scattered(documents, "harness")[: asked.limit])
        return [(names[place], index) for place, index in documents]

    def ask(self, lm: LM, questions: Sequence[Asked]) -> list[Answers]:
        """Returns what a model makes of several tasks, all of them together; what two have in common is asked once.

        Raises:
          RequestError: the data cannot be had, or a task does not give the score that was asked for.
        """
        chosen = [self.choose(asked) for asked in questions]
        documents: dict[str, set[int]] = {}
        for items in chosen:
            for name, index in items:
                documents.setdefault(name, set()).add(index)
        tasks = {name: task for loaded in self._loaded.values() for name, task in loaded.items() if name in documents}
        some = {name: sorted(of) for name, of in documents.items() if len(of) < self._sizes[name]}
        for task in tasks.values():
            # As the harness's own command does: an order of examples goes on where the last model's ended.
            task.set_fewshot_seed(DEFAULT_OTHER_SEED)
        with _seeded(), _quiet():
            found = evaluate(lm, {"tasks": tasks}, samples=some or None, bootstrap_iters=0, log_samples=True)
        assert found is not None
        return [self._answers(asked, items, found) for asked, items in zip(questions, chosen, strict=True)]

    def _load(self, name: str) -> dict[str, Task]:
        """Returns a task, or all of a group, by names that no other has."""
        if name not in self._loaded:
            try:
                with _seeded():
                    loaded = self._manager.load([name])["tasks"]
                    # A group may change what its tasks are by themselves.
                    tasks = {of if of == name else f"{name}/{of}": task for of, task in loaded.items()}
                    self._sizes |= {of: len(task.eval_docs) for of, task in tasks.items()}
            except Exception as error:  # whatever a hub, a data set's reader and the task's own code raise
                raise RequestError(
                    f"lm-evaluation-harness cannot load {name} ({one_line(error)}); see that its data can be reached, "
                    "and run this again."
                ) from error
            for task in tasks.values():
                if task.get_config("num_fewshot") is None:
                    task.set_config("num_fewshot", 0)
            self._loaded[name] = tasks
        return self._loaded[name]

    def _answers(self, asked: Asked, items: Sequence[tuple[str, int]], found: Mapping[str, Any]) -> Answers:
        tasks = self._loaded[asked.name]
        logged: dict[tuple[str, int], dict[str, Any]] = {}
        for name in dict.fromkeys(name for name, _ in items):
            samples = _of_filter(name, found["samples"][name], asked.filter)
            scores = [_score(name, sample, asked.metric) for sample in samples]
            _check_mean(tasks[name], name, asked.metric, samples[0]["filter"], scores, found)
            logged |= {(name, of["doc_id"]): {**of, "score": score} for of, score in zip(samples, scores, strict=True)}
        samples = [logged[item] for item in items]
        first = tasks[items[0][0]]
        return Answers(
            output_type=str(first.OUTPUT_TYPE),
            ids=tuple(f"{name}/{index}" for name, index in items),
            digests=tuple(map(_digest, samples)),
            scores_N=np.asarray([sample["score"] for sample in samples], np.float64),
            baselines=baselines([(tasks[name], logged[name, index]) for name, index in items], asked.metric),
            versions=tuple(sorted({str(task.VERSION) for task in tasks.values()})),
            shots=tuple(sorted({int(task.get_config("num_fewshot")) for task in tasks.values()})),
        )


def _of_filter(name: str, samples: Sequence[dict[str, Any]], asked: str | None) -> list[dict[str, Any]]:
    names = list(dict.fromkeys(sample["filter"] for sample in samples))
    if asked not in names and (asked is not None or len(names) > 1):
        raise RequestError(f"{name} has the filters {', '.join(names)}; say by filter which of them counts.")
    return [sample for sample in samples if asked in (None, sample["filter"])]


def _score(name: str, sample: Mapping[str, Any], metric: str) -> float:
    score = sample.get(metric)
    if isinstance(score, bool | int | float | np.number):
        return float(score)
    known = [key for key in sample["metrics"] if isinstance(sample[key], bool | int | float | np.number)]
    what = f"no {metric}" if metric not in sample["metrics"] else f"{metric}, but no number,"
    raise RequestError(
        f"{name} gives {what} for document {sample['doc_id']}; choose {', '.join(known) or 'another task'}."
    )


def _check_mean(
    task: Task, name: str, metric: str, filter_: str, scores: Sequence[float], found: Mapping[str, Any]
) -> None:
    """Checks that a task's value is what the harness makes of it: the mean of its items."""
    value = found["results"][name][f"{metric},{filter_}"]
    # Annotated there as if they returned nothing.
    aggregations, directions = dict(task.aggregation() or {}), dict(task.higher_is_better() or {})
    is_mean = aggregations.get(metric, mean) is mean and np.isclose(value, np.mean(scores), rtol=1e-9, atol=1e-12)
    if not is_mean or directions.get(metric, True) is False:
        raise RequestError(
            f"{metric} of {name} is no mean over items of which more is better; choose another metric or task."
        )


def _digest(sample: Mapping[str, Any]) -> bytes:
    said = [sample["doc_hash"], sample["arguments"], sample["target"]]
    text = json.dumps(said, default=str, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16].encode()


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """Gives tasks that draw something the numbers that the harness's own command gives them, and nobody else."""
    states = random.getstate(), np.random.get_state()
    random.seed(DEFAULT_RANDOM_SEED)
    np.random.seed(DEFAULT_OTHER_SEED)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Spares the bar that the harness shows for each task while it writes down the questions, with or without one."""
    shown = lm_eval.api.task.tqdm
    setattr(lm_eval.api.task, "tqdm", lambda documents, total: documents)  # noqa: B010 - to the type, tqdm is a class
    try:
        yield
    finally:
        lm_eval.api.task.tqdm = shown
