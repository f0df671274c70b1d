"""What a study file asks to be measured, stage by stage, as results remember it."""

from collections.abc import Mapping
from typing import Any

from jaxprune.studies.config.study import StudyConfig


def asked_of(config: StudyConfig, *, is_dense: bool) -> dict[str, Any]:
    """Returns for each measure what is asked of it, as JSON; of the dense model nothing that compares with it."""
    evaluation = config.evaluation
    languages = sorted(evaluation.languages)
    parts = {name: getattr(evaluation, name) for name in type(evaluation).model_fields if name != "languages"}
    if is_dense:
        parts["snr"] = None
    return {
        name: {"languages": languages, **part.model_dump(mode="json")}
        for name, part in parts.items()
        if part is not None
    }


def stale(result: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Returns the measures that a result lacks, or has as another study file asked for them."""
    had = result.get("asked")
    return [name for name, of in asked.items() if not isinstance(had, dict) or had.get(name) != of]
