"""What the hidden states of a study's models show, in words and as a table."""

import functools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.model_words import are_pruned
from jaxprune.studies.numbers.subspaces import (
    above_if_alike,
    alignment_between,
    alignment_with_first,
    angle,
    centred_snr_db,
    check,
    common_share,
    directions_share,
    is_unchanged,
    mean,
    over_blocks,
    snr_db,
    squared_cosine,
)
from jaxprune.studies.report.check_words import check_words, gain_cell
from jaxprune.studies.report.table import NOTHING, Table

_SPLIT = ("agnostic", "specific")
PARAGRAPH = "\n\n"
"""Between what a section shows and shows next."""

Model = Mapping[str, Any]


def subspace_words(result: Mapping[str, Any]) -> tuple[str, str]:
    """Returns what they show, and what not."""
    first, *others = result["models"]
    told = [*check_words(result), _parts(result), _common(result), _own_language(others, result["languages"])]
    unchanged = [model["label"] for model in others if all(map(is_unchanged, model["blocks"]))]
    if unchanged:
        told.append(f"The same hidden states as those of {first['label']} has {wording.names(unchanged)}.")
    kept = _over_models(others, squared_cosine)
    if kept:
        stable = [block["stability"] for block in first["blocks"] if block["stability"] is not None]
        halves = (
            f", from the same text; two halves of the text, in {first['label']} itself, give "
            f"{statistics.fmean(stable):.3f}"
            if stable
            else ""
        )
        told.append(
            f"How far the language-specific subspace turns: its mean squared cosine to that of {first['label']} is "
            f"{min(kept):.3f} to {max(kept):.3f}{halves}{_angles(others)}."
        )
    told.append(_alignment(result["models"]))
    fewest = min(result["tokens"].values())
    not_shown = (
        "A signal-to-noise ratio says how much of a part is disturbed, not whether a task needs what is disturbed; and "
        "the agnostic part is all that is left beside the few language-specific directions, tokens and topics "
        f"included. The split is linear, has {wording.count(result['rank'], 'direction')} for "
        f"{len(result['languages'])} languages, and was found on {fewest:,} tokens of each from {result['texts']}; "
        "other text and more languages would give another."
    )
    return PARAGRAPH.join(filter(None, told)), not_shown


def subspace_table(result: Mapping[str, Any]) -> Table:
    """Returns each model's means over blocks and languages."""
    rows = []
    for model in result["models"]:
        blocks = model["blocks"]
        numbers = [
            (squared_cosine, ".3f"),
            *((functools.partial(angle, which=which), ".1f") for which in (0, -1)),
            *((functools.partial(snr_db, part=part), ".2f") for part in _SPLIT),
            *((functools.partial(centred_snr_db, part=part), ".2f") for part in _SPLIT),
            (alignment_with_first, ".3f"),
            (alignment_between, ".3f"),
            *((functools.partial(check, which="retrieval", part=part), ".3f") for part in ("whole", "agnostic")),
            *((functools.partial(check, which="identification", part=part), ".3f") for part in _SPLIT[::-1]),
        ]
        infinite = "no change" if all(map(is_unchanged, blocks)) else "inf"
        shown = [_shown(over_blocks(blocks, value), form, infinite) for value, form in numbers]
        share = 100 * statistics.fmean(mean(block["specific_share"]) for block in blocks)
        alike = 100 * statistics.fmean(directions_share(block, result["hidden_size"]) for block in blocks)
        rows.append([model["label"], f"{share:.1f}% ({alike:.1f}%)", *shown[:-2], gain_cell(model), *shown[-2:]])
    head = [
        "latent subspaces (mean over blocks)", "energy, specific (of directions)", "subspace kept",
        "smallest angle (°)", "largest angle (°)", "SNR agnostic (dB)", "SNR specific (dB)",
        "agnostic, less the mean (dB)", "specific, less the mean (dB)", "alignment with first",
        "alignment of languages", "retrieval: whole", "agnostic", "difference (95% interval)",
        "identified: specific", "agnostic",
    ]  # fmt: skip
    return Table("Latent subspaces", head, rows)


def _angles(others: Sequence[Model]) -> str:
    """Returns how far the direction turns that turns least, and the one that turns most."""
    (least, most) = (_over_models(others, functools.partial(angle, which=which)) for which in (0, -1))
    if not least or not most:
        return ""
    return (
        f". On average over blocks the smallest principal angle is {_range(least, '.0f')}, the largest "
        f"{_range(most, '.0f')} degrees"
    )


def _alignment(models: Sequence[Model]) -> str:
    """Returns how alike others' states are to the first model's, and languages among themselves in it and in others."""
    told = []
    first, *others = models
    same = _over_models(others, alignment_with_first)
    if same:
        whose = "of pruned hidden states" if are_pruned(models) else "of other models\u2019 hidden states"
        told.append(f"{whose} with those of {first['label']}, over the same tokens, {_range(same, '.3f')}")
    before, after = over_blocks(first["blocks"], alignment_between), _over_models(others, alignment_between)
    if before is not None:
        told.append(
            f"of languages with each other, over translations of the same sentences, {before:.3f} in {first['label']}"
        )
        if after:
            told[-1] += f" and {_range(after, '.3f')} {'pruned' if are_pruned(models) else 'in others'}"
    return f"Centred kernel alignment, on average over blocks: {'; '.join(told)}." if told else ""


def _over_models(models: Sequence[Model], value: Any) -> list[float]:
    return [found for model in models if (found := over_blocks(model["blocks"], value)) is not None]


def _range(values: Sequence[float], form: str) -> str:
    least, most = (format(of, form) for of in (min(values), max(values)))
    return least if least == most else f"{least} to {most}"


def _parts(result: Mapping[str, Any]) -> str:
    """Returns how much of either part is disturbed: of what it holds, and for each direction."""
    found: list[tuple[float, float, float]] = []
    width = result["hidden_size"]
    first, *others = result["models"]
    blocks = [pair for model in others for pair in zip(model["blocks"], first["blocks"], strict=True)]
    for block, of_first in blocks:
        agnostic, specific = (snr_db(block, part) for part in _SPLIT)
        alike = above_if_alike(of_first, width)
        if _is_finite(agnostic) and _is_finite(specific) and alike is not None:
            found.append((agnostic, specific, alike))
    if not found:
        return ""
    agnostic, specific, expected = (statistics.fmean(values) for values in zip(*found, strict=True))
    lag = specific - agnostic
    what, whose = ("prunings", "pruned") if are_pruned(result["models"]) else ("other models", "other models\u2019")
    over = f"all {what} and blocks" if len(found) == len(blocks) else f"{len(found)} of {len(blocks)} {whose} blocks"
    return (
        f"Over {over}, the signal-to-noise ratio is {agnostic:.1f} dB in the agnostic and {specific:.1f} dB in the "
        f"specific part: of what each holds, the agnostic part is disturbed {'more' if lag > 0 else 'less'}."
        f"{_resting_on(result['models'])}{PARAGRAPH}Were all {width:,} directions disturbed alike, the specific part, "
        f"which has much energy in few of them, would be {wording.signed(expected)} dB above, and it is "
        f"{wording.signed(lag)}: direction by direction, what tells languages apart is disturbed "
        f"{'more' if lag < expected else 'less'}. Which of the two counts depends on whether what reads the states "
        f"weighs each part by what is usual in it.{_depth(others)}"
    )


def _common(result: Mapping[str, Any]) -> str:
    """Returns how much of the parts all languages share, and the ratios of what is left."""
    first, *others = result["models"]
    shares = [over_blocks(first["blocks"], functools.partial(common_share, part=part)) for part in _SPLIT]
    agnostic, specific = (None if share is None else f"{100 * share:.0f}" for share in shares)
    if agnostic is None or specific is None:
        return ""
    told = (
        f"Of the energy in the specific part of {first['label']}, {specific}% is one mean that all languages share "
        f"(of that in the agnostic part {agnostic}%), on average over blocks: along the directions in which languages "
        "differ, what they have in common need not be short."
    )
    blocks = [block for model in others for block in model["blocks"]]
    pairs = [tuple(centred_snr_db(block, part) for part in _SPLIT) for block in blocks]
    left = [pair for pair in pairs if all(map(_is_finite, pair))]
    if not left:
        return told
    of_agnostic, of_specific = (statistics.fmean(values) for values in zip(*left, strict=True))
    return (
        f"{told} When each model\u2019s states lose that mean, the signal-to-noise ratio is {of_agnostic:.1f} dB in "
        f"the agnostic and {of_specific:.1f} dB in the specific part: of what varies, the agnostic part is disturbed "
        f"{'more' if of_specific > of_agnostic else 'less'}."
    )


def _resting_on(models: Sequence[Model]) -> str:
    """Returns on how many prunings and seeds the means rest; nothing where others are not all pruned."""
    if not are_pruned(models):
        return ""
    _, *others = models
    seeds = {_setting(model)[2] for model in others}
    return f" That rests on {wording.count(len(others), 'pruning')} with {wording.count(len(seeds), 'seed')}."


def _depth(others: Sequence[Model]) -> str:
    """Returns how the ratios go with depth, and where the agnostic part's is lowest."""
    blocks = min(len(model["blocks"]) for model in others)
    of_part = {
        part: [
            statistics.fmean(values)
            for index in range(blocks)
            if (values := list(filter(_is_finite, (snr_db(model["blocks"][index], part) for model in others))))
        ]
        for part in _SPLIT
    }
    if blocks < 3 or any(len(values) < blocks for values in of_part.values()):
        return ""
    third = blocks // 3
    told = [
        f"the {part} part\u2019s is {statistics.fmean(values[:third]):.1f} dB over the first "
        f"{wording.count(third, 'block')} and {statistics.fmean(values[-third:]):.1f} over the last {third}"
        for part, values in of_part.items()
    ]
    agnostic = of_part["agnostic"]
    lowest = agnostic.index(min(agnostic))
    return (
        f"{PARAGRAPH}Signal-to-noise ratios by depth: {wording.names(told)}; the agnostic part\u2019s is "
        f"lowest after block {lowest}, {agnostic[lowest]:.1f}."
    )


def _own_language(others: Sequence[Model], languages: Sequence[str]) -> str:
    """Returns what calibration on a language, in place of English, does for its own hidden states."""
    english = {_setting(model): model for model in others if _calibrated_on(model) == "en"}
    gains: dict[str, list[float]] = {part: [] for part in _SPLIT}
    told = []
    for model in others:
        language, other = _calibrated_on(model), english.get(_setting(model))
        if language == "en" or language not in languages or other is None:
            continue
        found = {part: _gain(model, other, part, language) for part in _SPLIT}
        known = {part: gain for part, gain in found.items() if gain is not None}
        if len(known) < len(_SPLIT):
            continue
        for part, gain in known.items():
            gains[part].append(gain)
        told.append(language)
    if not told:
        return ""
    agnostic, specific = (statistics.fmean(gains[part]) for part in _SPLIT)
    seeds = {_setting(model)[2] for model in others}
    names = wording.names([language_of(code).english for code in dict.fromkeys(told)])
    return (
        f"Calibration on the language itself in place of English ({names}; {wording.count(len(told), 'pruning')}) "
        f"changes that language\u2019s ratio by {wording.signed(specific)} dB in the specific and "
        f"{wording.signed(agnostic)} dB in the agnostic part"
        + (": of one seed each, so what another draw of text would give is not known." if len(seeds) == 1 else ".")
    )


def _gain(model: Model, other: Model, part: str, language: str) -> float | None:
    value = functools.partial(snr_db, part=part, languages=[language])
    a, b = over_blocks(model["blocks"], value), over_blocks(other["blocks"], value)
    return a - b if _is_finite(a) and _is_finite(b) else None


def _is_finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _calibrated_on(model: Model) -> str:
    return (model["pruned"] or {}).get("languages", "")


def _setting(model: Model) -> tuple[str, ...]:
    how = model["pruned"] or {}
    return tuple(how.get(factor, "") for factor in ("method", "pattern", "seed"))


def _shown(value: float | None, form: str, infinite: str) -> str:
    if value is None:
        return NOTHING
    return infinite if math.isinf(value) else format(value, form)
