"""What the masks of a study's prunings show, in words."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxprune.analysis.overlap import above_chance
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.masks import SIDES, chance_told, concentration
from jaxprune.studies.report.channel_words import channel_words

_FACTORS = {
    "languages": "the language of calibration",
    "seed": "the seed",
    "method": "the method",
    "pattern": "the pattern",
    "texts": "the text",
    "model": "the model",
}
# Fewer comparisons say nothing of a rule.
_FEWEST = 4


def mask_words(result: Mapping[str, Any]) -> tuple[str, str]:
    """Returns what they show, and what not."""
    agreements = {differ: values for differ in _FACTORS if (values := list(_agreements(result, differ)))}
    if not agreements:
        shows = "No two of these prunings differ in one thing and no other."
    else:
        told = [
            f"to {statistics.fmean(values):.3f} if that is {_FACTORS[differ]} ({wording.count(len(values), 'pair')})"
            for differ, values in agreements.items()
        ]
        shows = (
            "On a scale from 0 (as much as chance gives) to 1 (the same weights are kept), prunings that differ in one "
            f"thing agree {wording.names(told)}."
        )
    shows += _language_beyond_seed(result)
    by_kind = {
        kind.replace("_", " "): [run["concentration"][kind] for run in result["runs"]]
        for kind in ("query_heads", "neurons")
    } | {
        f"{side} of a projection": [concentration(zeros, side) for zeros in result["zeros"].values()] for side in SIDES
    }
    gini = [f"{kind} {_concentration(found)}" for kind, of in by_kind.items() if (found := list(filter(None, of)))]
    if gini:
        shows += (
            f" How unevenly zeros lie (Gini coefficient; 0 is alike on all, in brackets {chance_told(result)}): "
            f"{wording.names(gini)}."
        )
    shows += channel_words(result)
    not_shown = (
        "Masks say which weights were kept, not what they do: prunings that keep different weights can compute much "
        "the same, and a method that adjusts the weights it keeps changes more than its mask."
    )
    if "seed" not in agreements:
        not_shown += (
            " No two of them differ in the seed only, so how much another sample of the same text would change is not "
            "known here."
        )
    return shows, not_shown


def _concentration(found: Sequence[Mapping[str, float]]) -> str:
    """Returns the mean over runs, those apart whose pattern leaves chance, and anything else, no choice."""
    free = [of for of in found if of["by_chance"]]
    if not free:
        return "even by the pattern"
    told = f"{statistics.fmean(of['gini'] for of in free):.3f} ({statistics.fmean(of['by_chance'] for of in free):.3f})"
    forced = len(found) - len(free)
    return told + (f", and even by the pattern in {wording.count(forced, 'run')}" if forced else "")


def _agreements(result: Mapping[str, Any], differ: str, *, of: str | None = None) -> Iterator[float]:
    """Yields agreements of the pairs that differ in one thing only, or of those of them that one pruning is in."""
    for pair in result["overlap"]["pairs"]:
        if pair["differ"] == [differ] and of in (None, pair["a"], pair["b"]):
            agreement = above_chance(pair["overall"])
            if agreement is not None:
                yield agreement


def _language_beyond_seed(result: Mapping[str, Any]) -> str:
    """Returns for how many prunings another language changes more than another seed does.

    Prunings are counted, and not pairs of them: each is in many pairs, which are not independent of each other.
    """
    less = total = 0
    for run in result["runs"]:
        languages, seeds = (list(_agreements(result, differ, of=run["label"])) for differ in ("languages", "seed"))
        if languages and seeds:
            total += 1
            less += max(languages) < min(seeds)
    if not total:
        return ""
    told = (
        f" The masks agree with those of another seed more than with any of another language in {less} of "
        f"{wording.count(total, 'pruning')}"
    )
    if total < _FEWEST:
        return f"{told}, too few for a rule."
    share = less / total
    what = (
        "the language decides about weights beyond what another sample of the same text does"
        if share > 0.95
        else "the language decides about few weights that another sample of the same text would not change as well"
        if share < 0.6
        else "most of it is more than another sample of the same text changes"
    )
    return f"{told}: {what}."
