"""Headings of the sections on analyses, no two alike."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxprune.studies.analyses import MASKS, NEURONS, SUBSPACES
from jaxprune.studies.numbers import wording

_KINDS = {
    MASKS: "Which weights are kept",
    SUBSPACES: "What languages share, and what tells them apart",
    NEURONS: "Neurons of single languages",
}


class Told(NamedTuple):
    """An analysis that has a section.

    Attributes:
      place: its folder in the study.
    """

    kind: str
    result: Mapping[str, Any]
    place: str


def headings(analyses: Sequence[Told]) -> list[str]:
    """Returns a heading for each; those of one kind are told apart by silencing, by their size, and by their place."""
    found = [_kind(of) for of in analyses]
    for more in (_size, lambda of: of.place):
        times = Counter(found)
        found = [
            heading if times[heading] == 1 else f"{heading} ({more(of)})"
            for heading, of in zip(found, analyses, strict=True)
        ]
    return found


def is_silenced(of: Told) -> bool:
    """Whether it holds the causal test of neurons."""
    return of.kind == NEURONS and bool(of.result["silencing"])


def _kind(of: Told) -> str:
    return f"{_KINDS[of.kind]}, and what silencing them does" if is_silenced(of) else _KINDS[of.kind]


def _size(of: Told) -> str:
    if of.kind == MASKS:
        return wording.count(len(of.result["runs"]), "pruning")
    return ", ".join(wording.count(len(of.result[f"{noun}s"]), noun) for noun in ("model", "language"))
