"""Whether an analysis of latent subspaces bears out what the published study says of them, and by which yardstick.

Two yardsticks there are, and they can disagree: how much is disturbed of what a part holds (its signal-to-noise ratio),
and how much for each of its directions, of which the agnostic part has nearly all. The published one is not known.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import scipy.stats

from jaxprune.evaluation.significance import holm
from jaxprune.studies import wording
from jaxprune.studies.comparisons import ALPHA
from jaxprune.studies.model_words import are_pruned
from jaxprune.studies.subspace_numbers import Block, is_specific_hit_more
from jaxprune.studies.verdicts import Finding, Verdict

_MOST = 0.75
_FEWEST_LANGUAGES = 5  # of fewer, no sign test can reject


def subspace_findings(result: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Judges the claim that pruning costs what languages share, in the middle and late blocks above all.

    A pruning bears it out where, in the later half of the blocks, the agnostic part of hidden states has the lower
    signal-to-noise ratio in more languages than a sign test over languages lets chance explain, after Holm's correction
    over prunings.

    Args:
      result: as ``jaxprune analyze subspaces`` writes it; nothing is judged of models that were not pruned.
    """
    claim = "What pruning loses is above all what languages share, in the middle and late blocks."
    prunings = result["models"][1:] if are_pruned(result["models"]) else []
    late, early = ({of["label"]: _lags(of["blocks"], half) for of in prunings} for half in ("late", "early"))
    known = {label: lags for label, lags in late.items() if len(lags) >= _FEWEST_LANGUAGES and early[label]}
    if not known:
        return ()
    shown, opposite = (
        sum(
            p_value < ALPHA
            for p_value in holm({label: _sign_test(lags, sign) for label, lags in known.items()}).values()
        )
        for sign in (1, -1)
    )
    means = [statistics.fmean(lags.values()) for lags in known.values()]
    after = statistics.fmean(means)
    before = statistics.fmean(statistics.fmean(early[label].values()) for label in known)
    by_direction = [
        is_specific_hit_more(block, first, result["hidden_size"])
        for of in prunings
        for block, first in list(zip(of["blocks"], result["models"][0]["blocks"], strict=True))[
            len(of["blocks"]) // 2 :
        ]
    ]
    agnostic_first = sum(found is False for found in by_direction)
    evidence = (
        f"In the later half of the blocks the signal-to-noise ratio of the agnostic part is {_below(after)} that of "
        f"the specific part on average ({_below(min(means))} to {_below(max(means))} in single prunings; in the "
        f"earlier half {_below(before)}), measurably so in {shown} of {wording.count(len(known), 'pruning')}, and "
        f"measurably the other way in {opposite} (sign test over {len(result['languages'])} languages, Holm over "
        f"prunings). That is of what each part holds. Direction by direction the agnostic part is disturbed more in "
        f"{agnostic_first} of {wording.count(len(by_direction), 'such block')}."
    )
    return (Finding(claim, _verdict(shown, len(known), agnostic_first > len(by_direction) / 2), evidence),)


def _verdict(shown: int, total: int, is_so_by_direction: bool) -> Verdict:
    if not shown:
        return "not shown"
    return "shown" if shown >= _MOST * total and is_so_by_direction else "partly shown"


def _below(lag: float) -> str:
    """Returns ``6.2 dB below``."""
    return f"{abs(lag):.1f} dB {'below' if lag >= 0 else 'above'}"


def _sign_test(lags: Mapping[str, float], sign: int) -> float:
    """Returns the chance that as many languages or more lag this way if each did so or the other way alike."""
    ahead = sum(sign * lag > 0 for lag in lags.values())
    return float(scipy.stats.binomtest(ahead, len(lags), alternative="greater").pvalue)


def _lags(blocks: Sequence[Block], half: str) -> dict[str, float]:
    """Returns by language by how many dB the agnostic part is below the specific, mean over half of the blocks."""
    middle = len(blocks) // 2
    chosen = blocks[middle:] if half == "late" else blocks[:middle]
    found: dict[str, list[float]] = {}
    for block in chosen:
        for language, of in block["change"]["snr_db"].items():
            if of["agnostic"] is None or of["specific"] is None:  # nothing changed
                continue
            found.setdefault(language, []).append(of["specific"] - of["agnostic"])
    return {language: statistics.fmean(lags) for language, lags in found.items() if all(map(math.isfinite, lags))}
