"""What the hidden states of a study's models show, in words and as a table."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from jaxprune.studies import wording
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.report.table import NOTHING, Table

_SPLIT = ("agnostic", "specific")

Model = Mapping[str, Any]


def subspace_words(result: Mapping[str, Any]) -> tuple[str, str]:
    """Returns what they show, and what not."""
    dense, *pruned = result["models"]
    told = [_checks(result, dense), _parts(result, pruned), _own_language(pruned, result["languages"])]
    identical = [model["label"] for model in pruned if _over_blocks(model, _ratio("whole")) is None]
    if identical:
        told.append(f"The same hidden states as those of {dense['label']} has {wording.names(identical)}.")
    kept = [value for model in pruned if (value := _over_blocks(model, _squared_cosine)) is not None]
    if kept:
        stable = [block["stability"] for block in dense["blocks"] if block["stability"] is not None]
        halves = (
            f", from the same text; two halves of the text, in {dense['label']} itself, give "
            f"{statistics.fmean(stable):.3f}"
            if stable
            else ""
        )
        told.append(
            f"How far the language-specific subspace turns: its mean squared cosine to that of {dense['label']} is "
            f"{min(kept):.3f} to {max(kept):.3f}{halves}."
        )
    fewest = min(result["tokens"].values())
    not_shown = (
        "A signal-to-noise ratio says how much of a part is disturbed, not whether a task needs what is disturbed; and "
        "the agnostic part is all that is left beside the few language-specific directions, tokens and topics "
        f"included. The split is linear, has {wording.count(result['rank'], 'direction')} for "
        f"{len(result['languages'])} languages, and was found on {fewest:,} tokens of each from {result['texts']}; "
        "other text and more languages would give another."
    )
    return " ".join(filter(None, told)), not_shown


def subspace_table(result: Mapping[str, Any]) -> Table:
    """Returns each model's means over blocks and languages."""
    rows = [
        [
            model["label"],
            f"{100 * statistics.fmean(map(_share, model['blocks'])):.1f} %",
            _shown(_over_blocks(model, _squared_cosine), ".3f"),
            *(_shown(_over_blocks(model, _ratio(part)), ".2f") for part in _SPLIT),
            *(_shown(_over_blocks(model, _check("retrieval", part)), ".3f") for part in ("whole", "agnostic")),
            *(_shown(_over_blocks(model, _check("identification", part)), ".3f") for part in ("specific", "agnostic")),
        ]
        for model in result["models"]
    ]
    head = [
        "latent subspaces (mean over blocks)", "energy, specific", "subspace kept", "SNR agnostic (dB)",
        "SNR specific (dB)", "retrieval: whole", "agnostic", "identified: specific", "agnostic",
    ]  # fmt: skip
    return Table("Latent subspaces", head, rows)


def _checks(result: Mapping[str, Any], dense: Model) -> str:
    """Returns whether the split means what it says, by sentences that it was not made from."""
    blocks = [block["sentences"] for block in dense["blocks"] if block["sentences"]]
    if not blocks:
        return ""
    better = sum(_mean(of["retrieval"]["agnostic"]) > _mean(of["retrieval"]["whole"]) for of in blocks)
    agnostic, whole = (
        statistics.fmean(_mean(of["retrieval"][part]) for of in blocks) for part in ("agnostic", "whole")
    )
    known, unknown = (statistics.fmean(_mean(of["identification"][part]) for of in blocks) for part in _SPLIT[::-1])
    sentences, chance = min(result["sentences"].values()), 1 / len(result["languages"])
    # Two shares of as many sentences, as if they were independent: languages and blocks add little to that.
    error = math.sqrt((agnostic * (1 - agnostic) + whole * (1 - whole)) / sentences)
    is_borne_out = agnostic - whole > 2 * error and known - chance > 2 * math.sqrt(0.25 / sentences)
    verdict = "bears the split out" if is_borne_out else "does not bear the split out beyond chance"
    return (
        f"A check on other sentences {verdict}: in {dense['label']} the agnostic part of hidden states finds a "
        f"sentence\u2019s translation more often than the whole after {better} of {len(blocks)} blocks ({agnostic:.2f} "
        f"against {whole:.2f} on average; chance {1 / sentences:.3f}), and the language-specific part tells the "
        f"language in {known:.0%} of cases, the agnostic part in {unknown:.0%} (chance {chance:.0%})."
    )


def _parts(result: Mapping[str, Any], pruned: Sequence[Model]) -> str:
    """Returns how much of either part pruning disturbs, beside what it would be were all directions disturbed alike."""
    found, alike = [], []
    width = result["hidden_size"]
    for model in pruned:
        for block in model["blocks"]:
            agnostic, specific = (_ratio(part)(block) for part in _SPLIT)
            share, rank = _share(block), block["rank"]
            if agnostic is not None and specific is not None and 0 < share < 1 and 0 < rank < width:
                found.append((agnostic, specific))
                alike.append(10 * math.log10(share / (1 - share) * (width - rank) / rank))
    if not found:
        return ""
    agnostic, specific = (statistics.fmean(values) for values in zip(*found, strict=True))
    expected = statistics.fmean(alike)
    more = "more" if specific - agnostic < expected else "less"
    return (
        f"Over all prunings and blocks, the signal-to-noise ratio is {agnostic:.1f} dB in the agnostic and "
        f"{specific:.1f} dB in the specific part. A change alike in all {width:,} directions would put the specific "
        f"part, which has much energy in few of them, {wording.signed(expected)} dB above; so direction by direction "
        f"what tells languages apart is disturbed {more} than the rest."
    )


def _own_language(pruned: Sequence[Model], languages: Sequence[str]) -> str:
    """Returns what calibration on a language, in place of English, does for its own hidden states."""
    english = {_setting(model): model for model in pruned if _calibrated_on(model) == "en"}
    gains: dict[str, list[float]] = {part: [] for part in _SPLIT}
    told = []
    for model in pruned:
        language, other = _calibrated_on(model), english.get(_setting(model))
        if language == "en" or language not in languages or other is None:
            continue
        found = {part: _gain(model, other, _ratio(part, language)) for part in _SPLIT}
        known = {part: gain for part, gain in found.items() if gain is not None}
        if len(known) < len(_SPLIT):
            continue
        for part, gain in known.items():
            gains[part].append(gain)
        told.append(language)
    if not told:
        return ""
    agnostic, specific = (statistics.fmean(gains[part]) for part in _SPLIT)
    names = wording.names([language_of(code).english for code in dict.fromkeys(told)])
    return (
        f"Calibration on the language itself in place of English ({names}; {wording.count(len(told), 'pruning')}) "
        f"changes that language\u2019s ratio by {wording.signed(specific)} dB in the specific and "
        f"{wording.signed(agnostic)} dB in the agnostic part."
    )


def _gain(model: Model, other: Model, value: Any) -> float | None:
    a, b = _over_blocks(model, value), _over_blocks(other, value)
    return None if a is None or b is None else a - b


def _calibrated_on(model: Model) -> str:
    return (model["pruned"] or {}).get("languages", "")


def _setting(model: Model) -> tuple[str, ...]:
    how = model["pruned"] or {}
    return tuple(how.get(factor, "") for factor in ("method", "pattern", "seed"))


def _over_blocks(model: Model, value: Any) -> float | None:
    values = [value(block) for block in model["blocks"]]
    return None if not values or None in values else statistics.fmean(values)


def _share(block: Mapping[str, Any]) -> float:
    return _mean(block["specific_share"])


def _squared_cosine(block: Mapping[str, Any]) -> float | None:
    return None if block["change"] is None else block["change"]["squared_cosine"]


def _ratio(part: str, language: str | None = None) -> Any:
    """Returns a function that gives a block's ratio in a part, of one language or as the mean over all."""

    def of_block(block: Mapping[str, Any]) -> float | None:
        if block["change"] is None:
            return None
        by_language = block["change"]["snr_db"]
        values = [by_language[name][part] for name in ([language] if language else by_language)]
        return None if None in values else statistics.fmean(values)

    return of_block


def _check(which: str, part: str) -> Any:
    return lambda block: _mean(block["sentences"][which][part]) if block["sentences"] else None


def _mean(by_language: Mapping[str, float]) -> float:
    return statistics.fmean(by_language.values())


def _shown(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)
