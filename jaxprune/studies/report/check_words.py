"""What the outside check of the split of hidden states bears out, in words."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from jaxprune.evaluation.significance import holm
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import ALPHA
from jaxprune.studies.numbers.subspaces import mean
from jaxprune.studies.report.table import NOTHING

Gain = Mapping[str, Any]
"""How much more often the agnostic part finds translations than the whole, paired by sentence."""


def check_words(result: Mapping[str, Any]) -> list[str]:
    """Returns, in paragraphs, whether the first model's split means what it says, by other sentences than its own."""
    first, *_ = result["models"]
    blocks = [block["sentences"] for block in first["blocks"] if block["sentences"]]
    if not blocks:
        return []
    return [_retrieval(first, blocks, min(result["sentences"].values())), _identification(result, blocks)]


def gain_cell(model: Mapping[str, Any]) -> str:
    """Returns a model's gain with its interval, for a table."""
    gain = _kept(model)
    return NOTHING if gain is None else f"{wording.signed(gain['value'], 3)} ({_interval(gain)})"


def _retrieval(first: Mapping[str, Any], blocks: Sequence[Mapping[str, Any]], sentences: int) -> str:
    better = sum(mean(of["retrieval"]["agnostic"]) > mean(of["retrieval"]["whole"]) for of in blocks)
    agnostic, whole = (statistics.fmean(mean(of["retrieval"][part]) for of in blocks) for part in ("agnostic", "whole"))
    gain, by_block = _kept(first), [_kept(of) for of in blocks]
    gains = [of for of in by_block if of is not None]
    known = gain is not None and len(gains) == len(blocks)
    average = f"On average it does so in {agnostic:.2f} of cases against {whole:.2f} (by chance {1 / sentences:.3f})"
    return (
        f"A check on other sentences: in {first['label']} the agnostic part of hidden states finds a sentence\u2019s "
        f"translation more often than the whole after {better} of {len(blocks)} blocks"
        f"{_beyond_chance(gains) if known else ''}. {average}"
        + (
            f", a difference of {wording.signed(gain['value'], 3)} (95% interval {_interval(gain)}, paired by "
            "sentence)."
            if gain is not None and known
            else "; whether that is more than chance cannot be said: the analysis was made before both parts\u2019 "
            "answers were compared sentence by sentence, which analysing again does."
        )
    )


def _beyond_chance(gains: Sequence[Gain]) -> str:
    """Returns after how many blocks the difference is more than other sentences would change."""
    p_values = holm({str(index): gain["p_value"] for index, gain in enumerate(gains)})
    certain = [gain["value"] for index, gain in enumerate(gains) if p_values[str(index)] < ALPHA]
    more, less = sum(value > 0 for value in certain), sum(value < 0 for value in certain)
    seldom = f", and less often, beyond chance, after {less}" if less else ""
    return f", beyond chance after {more}{seldom} (Holm\u2019s correction over blocks)"


def _identification(result: Mapping[str, Any], blocks: Sequence[Mapping[str, Any]]) -> str:
    known, unknown = (
        statistics.fmean(mean(of["identification"][part]) for of in blocks) for part in ("specific", "agnostic")
    )
    chance = 1 / len(result["languages"])
    confined = known - chance > 2 * (unknown - chance)
    told = "lies mostly in the former" if confined else "is not confined to the former"
    return (
        f"The language-specific part tells the language in {known:.0%} of cases, the agnostic part in {unknown:.0%} "
        f"(by chance {chance:.0%}): what tells languages apart {told}.{_by_depth(blocks)}"
    )


def _by_depth(blocks: Sequence[Mapping[str, Any]]) -> str:
    """Returns how well the agnostic part tells the language in the first and last third of the blocks."""
    third = len(blocks) // 3
    if not third:
        return ""
    first, last = (
        statistics.fmean(mean(of["identification"]["agnostic"]) for of in some)
        for some in (blocks[:third], blocks[-third:])
    )
    return (
        f" The agnostic part does so in {first:.0%} over the first {wording.count(third, 'block')} and in {last:.0%} "
        f"over the last {third}."
    )


def _kept(of: Mapping[str, Any]) -> Gain | None:
    """Returns the gain of a model, or of a block's sentences; None where it was not kept, or is of one sentence."""
    gain = of.get("retrieval_gain")
    return gain if gain is not None and gain["p_value"] is not None else None


def _interval(gain: Gain) -> str:
    return " to ".join(wording.signed(bound, 3) for bound in gain["interval"])
