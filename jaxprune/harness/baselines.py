"""What is scored without a model, as far as a task of lm-evaluation-harness tells: where its choices are known."""

from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.api.task import ConfigurableTask, Task

from jaxprune.tasks.baselines import choice_baselines
from jaxprune.tasks.items import ChoiceItem

# Right where a choice is made; of others, such as f1, no guess is known.
_CHOICE_METRICS = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info")


def baselines(samples: Sequence[tuple[Task, Mapping[str, Any]]], metric: str) -> dict[str, float]:
    """Returns the baselines of choices (``jaxprune.tasks.baselines``); nothing where an item is no choice of one.

    Args:
      samples: each with its task, as the harness logs it.
      metric: that is scored.
    """
    items = [_item(task, sample) for task, sample in samples] if metric in _CHOICE_METRICS else []
    known = [item for item in items if item is not None]
    return choice_baselines(known) if known and len(known) == len(items) else {}


def _item(task: Task, sample: Mapping[str, Any]) -> ChoiceItem | None:
    """Returns a multiple choice with one right answer; None if it is something else, or scored in a way of its own."""
    if not isinstance(task, ConfigurableTask) or task.OUTPUT_TYPE != "multiple_choice":
        return None
    if callable(task.config.process_results):
        return None
    choices = tuple(map(str, task.doc_to_choice(sample["doc"])))
    answer = task.doc_to_text(sample["doc"]) if task.multiple_input else sample["target"]
    if isinstance(answer, str) and answer in choices:
        answer = choices.index(answer)
    if not isinstance(answer, int) or not 0 <= answer < len(choices):
        return None
    # With several inputs, what they are told before one ending are the choices.
    context = "" if task.multiple_input else str(sample["arguments"][0][0])
    return ChoiceItem(str(sample["doc_id"]), context, choices, answer)
