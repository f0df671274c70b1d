"""What the masks of a study's prunings show, in words and as a table."""

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxprune.analysis.overlap import above_chance
from jaxprune.studies import wording
from jaxprune.studies.mask_numbers import SIDES, chance_told, concentration
from jaxprune.studies.report.channel_words import channel_words
from jaxprune.studies.report.table import NOTHING, Table

_FACTORS = {
    "languages": "the language of calibration",
    "seed": "the seed",
    "method": "the method",
    "pattern": "the pattern",
    "texts": "the text",
    "model": "the model",
}
_COLUMNS = ("kept_iou", "kept_chance", "pruned_iou", "pruned_chance")
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


def mask_table(result: Mapping[str, Any]) -> Table:
    """Returns agreements by what differs."""
    rows = [
        [
            ", ".join(group["differ"]) or "nothing",
            str(group["pairs"]),
            *(NOTHING if value is None else f"{value:.4f}" for value in map(group["overall"].get, _COLUMNS)),
        ]
        for group in result["overlap"]["groups"]
    ]
    head = ["masks: pairs that differ in", "pairs", "IoU of kept", "by chance", "IoU of pruned", "by chance"]
    return Table("Overlap of masks", head, rows)


def _agreements(result: Mapping[str, Any], differ: str, setting: tuple[str, ...] | None = None) -> Iterator[float]:
    settings = {run["label"]: _setting(run) for run in result["runs"]}
    for pair in result["overlap"]["pairs"]:
        if pair["differ"] == [differ] and setting in (None, settings[pair["a"]]):
            agreement = above_chance(pair["overall"])
            if agreement is not None:
                yield agreement


def _setting(run: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(run[factor] for factor in ("method", "pattern", "texts", "model"))


def _language_beyond_seed(result: Mapping[str, Any]) -> str:
    """Returns whether prunings of different languages agree less than those of different seeds, setting by setting."""
    less = total = 0
    for setting in dict.fromkeys(map(_setting, result["runs"])):
        languages, seeds = (list(_agreements(result, differ, setting)) for differ in ("languages", "seed"))
        found = [language < seed for language, seed in itertools.product(languages, seeds)]
        less, total = less + sum(found), total + len(found)
    if not total:
        return ""
    told = f" Of two languages the masks agree less than of two seeds in {less} of {wording.count(total, 'comparison')}"
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
    return f"{told}, which share prunings and are not independent: {what}."
