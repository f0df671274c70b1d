"""All that counts of open gates and the causal test say of several models, as one result that is plain JSON."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

from jaxprune.analysis.gates import GateCounts
from jaxprune.analysis.lape import Thresholds
from jaxprune.analysis.neuron_sets import QUANTILES, analyze_counts, bin_edges
from jaxprune.analysis.silencing import Effect, Effects
from jaxprune.evaluation.intervals import Estimate


def as_json(
    counts: Mapping[str, GateCounts],
    thresholds: Thresholds,
    silencing: Mapping[str, Mapping[str, Effects | None]],
    *,
    length: int,
) -> dict[str, Any]:
    """Returns all that counts of open gates say, wherever they were gathered, and what silencing did.

    Args:
      counts: by a model's label; the first is what others are compared with.
      silencing: by a model's label and the language silenced, of neurons that half of the windows chose; empty if it
        was not asked for.
      length: tokens of a window, those that are not counted among them.
    """
    first = next(iter(counts.values()))
    *_, num_blocks, num_neurons = first.opened_LGNF.shape
    found = {
        "languages": {
            language: {"tokens": tokens, "windows": first.windows[language]}
            for language, tokens in first.tokens.items()
        },
        "length": length,
        "leading_tokens": first.observe.leading,
        "blocks": num_blocks,
        "neurons_per_block": num_neurons,
        "thresholds": dataclasses.asdict(thresholds),
        "lape": {
            "highest": math.log(len(first.languages)),
            "quantiles": list(QUANTILES),
            "edges": bin_edges(len(first.languages)),
        },
        "neurons": analyze_counts(counts, thresholds),
        "silencing": {
            label: {
                language: effects
                and {
                    "own": _effect(effects.own),
                    "others": _effect(effects.others),
                    "beyond": {**_estimate(effects.beyond), "windows": effects.beyond.items},
                }
                for language, effects in of_model.items()
            }
            for label, of_model in silencing.items()
        }
        or None,
    }
    return found | {"notes": list(_notes(found))}


def _effect(effect: Effect) -> dict[str, Any]:
    return {
        "neurons": effect.neurons,
        "silent": [list(of_block) for of_block in effect.silent],
        "change": {language: _estimate(of) for language, of in effect.change.items()},
    }


def _estimate(of: Estimate) -> dict[str, Any]:
    return {
        "value": of.value,
        "interval": None if of.interval is None else list(of.interval),
        "p_value": of.p_value,
    }


def _notes(found: Mapping[str, Any]) -> Iterator[str]:
    fewest = min(of["tokens"] for of in found["languages"].values())
    yield (
        f"With {fewest:,} tokens of a language an activation probability has a standard error of "
        f"{0.5 / math.sqrt(fewest):.1%} at most, if tokens were independent."
    )
    windows = [of["windows"] for of in found["languages"].values()]
    if any(of_model["by_chance"] is None for of_model in found["neurons"].values()):
        yield (
            f"What would be found by chance is not known with {min(windows)} windows of each of "
            f"{len(found['languages'])} languages, which are too few to mix; ask for more (--windows)."
        )
    total, rate = found["blocks"] * found["neurons_per_block"], found["thresholds"]["top_rate"]
    wanted = round(total * rate)
    if not wanted:
        yield f"--top-rate {rate:g} of {total:,} neurons is no neuron, so none is chosen; give {1 / total:.2g} or more."
    for label, of_model in found["neurons"].items():
        if of_model["chosen"] < wanted:
            yield f"{label}: {of_model['chosen']} neurons pass the filter, of {wanted} that were to be chosen."
    if found["silencing"]:
        yield (
            "Silenced are the neurons that every other window chose, and the rest of the windows show what that does: "
            "they are not those that all windows choose, nor as many."
        )
    for label, of_model in (found["silencing"] or {}).items():
        empty = [language for language, of_language in of_model.items() if of_language is None]
        if empty:
            yield f"{label}: no neurons of {', '.join(empty)} were chosen on every other window, so none are silenced."
        for language, of_language in of_model.items():
            if of_language is None:
                continue
            own, others = (of_language[which]["neurons"] for which in ("own", "others"))
            if others < own:
                yield (
                    f"{label}: {own} neurons of {language} are set beside {others} others; more are not left in their "
                    "blocks."
                )
