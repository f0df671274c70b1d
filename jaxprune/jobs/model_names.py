"""Models that are compared: short names, of what differs between the ways in which they were pruned, and a warning."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.jobs.manifest import read_manifest
from jaxprune.jobs.mask_runs import NAMED_FIRST, describe

DENSE = "dense"


def name_models(references: Sequence[str]) -> list[str]:
    """Returns ``dense`` for the one model that was not pruned here, and for others ``de · wanda``; none twice.

    Where that is not enough, a model is named as it was referred to.

    Raises:
      RequestError: a manifest does not say how its model was pruned.
    """
    made_by = _made_by(references)
    pruned = [of for of in made_by if of is not None]
    varies = [factor for factor in NAMED_FIRST if len({str(of[factor][1]) for of in pruned}) > 1]
    if not varies:
        is_calibrated = any(of["languages"][1] is not None for of in pruned)
        varies = ["languages"] if is_calibrated else ["method"]
    names = [
        DENSE
        if of is None and len(pruned) == len(made_by) - 1
        else Path(reference).name or reference
        if of is None
        else " · ".join(of[factor][0] for factor in varies)
        for reference, of in zip(references, made_by, strict=True)
    ]
    times = Counter(names)
    return [
        name if times[name] == 1 else f"{name} ({reference})" for name, reference in zip(names, references, strict=True)
    ]


def account_models(checkpoints: Sequence[Checkpoint]) -> list[dict[str, Any]]:
    """Returns for each model, as JSON, its short name, how it was referred to, and how it was pruned (None: not here).

    How: ``{"languages": "de,en", "method": "wanda", "pattern": "0.5", "seed": "seed 0", ..}``.
    """
    references = [checkpoint.reference for checkpoint in checkpoints]
    pruned = [of and {factor: told for factor, (told, _) in of.items()} for of in _made_by(references)]
    return [
        {"label": label, "reference": reference, "pruned": how}
        for label, reference, how in zip(name_models(references), references, pruned, strict=True)
    ]


def source_notes(checkpoints: Sequence[Checkpoint]) -> Iterator[str]:
    """Says if pruned models are not of the same weights as each other, or as those that were not pruned here."""
    references = [checkpoint.reference for checkpoint in checkpoints]
    made_by = _made_by(references)
    if not any(made_by):
        return
    named: dict[str, list[str]] = {}
    for checkpoint, of, label in zip(checkpoints, made_by, name_models(references), strict=True):
        weights = checkpoint.fingerprint if of is None else str(of["model"][1])
        named.setdefault(weights, []).append(label)
    if len(named) > 1:
        told = "; ".join(f"{', '.join(labels)} (sha256 {weights[:12]})" for weights, labels in named.items())
        yield f"Models were not all pruned from the same weights: {told}. What differs may not be of pruning alone."


def _made_by(references: Sequence[str]) -> list[dict[str, tuple[str, Any]] | None]:
    """Returns what ``describe`` says of each model; None of one that was not pruned here."""
    manifests = [read_manifest(reference) for reference in references]
    return [
        None if manifest is None else describe(reference, manifest)
        for reference, manifest in zip(references, manifests, strict=True)
    ]
