"""What can be known of a task of lm-evaluation-harness before its data are fetched: its metrics, filters and code."""

from collections.abc import Mapping
from typing import Any

from lm_eval.api.metrics import mean
from lm_eval.api.registry import DEFAULT_METRIC_REGISTRY, get_metric_aggregation, is_higher_better
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml  # nothing public imports a task's functions and fetches no data

from jaxprune.errors import RequestError
from jaxprune.harness.task_index import leaves

# What the harness calls it where a task has none.
_NO_FILTER = "none"


def check_runs(manager: TaskManager, name: str) -> None:
    """Checks that a task, and every task of a group, can run here, as far as that does not depend on its data.

    Raises:
      RequestError: it needs what there is not.
    """
    for task, config in leaves(manager, name):
        if config.get("doc_to_image") or config.get("doc_to_audio"):
            raise RequestError(f"{task} is about images or sound, which no model here takes; choose another task.")
        if config.get("unsafe_code"):
            raise RequestError(f"{task} runs code that the model writes, which a study does not; choose another task.")
        entry = manager.task_index.get(task)
        if entry is None or entry.yaml_path is None:
            continue
        try:
            load_yaml(entry.yaml_path, resolve_func=True)
        except Exception as error:  # whatever its code does, and raises
            raise RequestError(
                f"the code of {task} cannot be loaded ({one_line(error)}); install what it needs, or choose another "
                "task."
            ) from error


def check_metric(manager: TaskManager, name: str, metric: str) -> None:
    """Checks that a task, and every task of a group, has a metric by which a study can compare.

    A task that is a class has what its code decides, which shows when it is asked.

    Raises:
      RequestError: it has not; lists those it has.
    """
    for task, config in leaves(manager, name):
        if config.get("class") is not None:
            continue
        described = _metrics(config)
        usable = [known for known, problem in described.items() if problem is None]
        instead = f"choose {', '.join(usable)}" if usable else "choose another task"
        if metric not in described:
            raise RequestError(f"{task} has no metric {metric!r}, only {', '.join(described) or 'none'}; {instead}.")
        if (problem := described[metric]) is not None:
            raise RequestError(f"{metric} of {task} {problem}; {instead}.")


def check_filter(manager: TaskManager, name: str, asked: str | None) -> None:
    """Checks that it is clear which filter of a task counts; of a class that shows when it is asked.

    Raises:
      RequestError: there are several, or not this one.
    """
    for task, config in leaves(manager, name):
        if config.get("class") is not None:
            continue
        listed = config.get("filter_list")
        names = [str(of["name"]) for of in listed] if listed else [_NO_FILTER]
        if asked is None and len(names) > 1:
            raise RequestError(f"{task} filters answers in {len(names)} ways; say which counts: {', '.join(names)}.")
        if asked is not None and asked not in names:
            raise RequestError(f"{task} has no filter {asked!r}; choose {', '.join(names)}, or leave it out.")


def one_line(error: Exception) -> str:
    """Returns what an error of another's code says, short enough to be part of a message."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".: ")
    return text if len(text) <= 300 else f"{text[:297]}..."


def _metrics(config: Mapping[str, Any]) -> dict[str, str | None]:
    """Returns the metrics of a task, each with why it cannot be used, None if it can."""
    listed = config.get("metric_list")
    if listed is None:
        output_type = config.get("output_type", "generate_until")
        listed = [{"metric": name} for name in DEFAULT_METRIC_REGISTRY.get(output_type, ())]
    # A function of the task's own is a path there, whose last part is its name.
    return {str(of["metric"]).rpartition("/")[2].rpartition(".")[2]: _problem(of) for of in listed if "metric" in of}


def _problem(described: Mapping[str, Any]) -> str | None:
    name = str(described["metric"])
    aggregation = described.get("aggregation") or ("mean" if get_metric_aggregation(name) is mean else "another")
    if aggregation != "mean":
        return "is no mean over items, which are what models are compared by"
    if described.get("higher_is_better", is_higher_better(name)) is False:
        return "is the better the less it is, and a study's scores the more"
    return None
