"""Whether an analysis of neurons bears out that pruning does not keep which neurons serve single languages."""

from collections.abc import Mapping
from typing import Any

from jaxprune.studies.answers.verdicts import Finding, verdict_of_share
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.model_words import are_pruned


def neuron_findings(result: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Judges by how far the sets of language-specific neurons overlap: of dense and pruned, of two halves of the text.

    A pruning bears the claim out where its set is further from the dense model's than two halves of the text put the
    dense model's own sets from each other.

    Args:
      result: as ``jaxprune analyze neurons`` writes it; nothing is judged of models that were not pruned.
    """
    claim = "Pruning does not keep which neurons serve single languages."
    if not are_pruned(result["models"]):
        return ()
    first, *others = result["neurons"].values()
    found = [of["against_first"]["specific"] for of in others if of["against_first"] is not None]
    overlaps = [of["iou"] for of in found if of["iou"] is not None]
    halves = first.get("halves")
    yardstick = None if halves is None else halves["specific"]["iou"]
    if not overlaps or yardstick is None:
        why = "How far other text alone would choose other neurons was not measured." if overlaps else "None was found."
        return (Finding(claim, "cannot be judged", why),)
    changed = sum(overlap < yardstick for overlap in overlaps)
    evidence = (
        f"The neurons that are specific to few languages (LAPE) overlap with the dense model's by {min(overlaps):.2f} "
        f"to {max(overlaps):.2f} after pruning (intersection over union), and by {yardstick:.2f} between two halves "
        f"of the text: less than that in {changed} of {wording.count(len(overlaps), 'pruning')}. The halves are one "
        "division of the text, which is no test."
    )
    return (Finding(claim, verdict_of_share(changed, len(overlaps)), evidence),)
