"""What models that are compared are called in words: the first may itself be pruned, and another be the dense one."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxprune.studies.points.grid import DENSE


def first_model(models: Sequence[Mapping[str, Any]]) -> str:
    """Returns ``the dense model`` if the first is that, and else its short name."""
    label = str(models[0]["label"])
    return "the dense model" if label == DENSE else label


def are_pruned(models: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all others than the first were pruned."""
    return all(model["pruned"] is not None for model in models[1:])
