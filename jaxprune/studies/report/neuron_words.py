"""What the neurons of a study's models show, in words and as a table."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from jaxprune.evaluation.significance import holm
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import ALPHA
from jaxprune.studies.numbers.neurons import p_value_of_divisions
from jaxprune.studies.numbers.silencing import beyond_others
from jaxprune.studies.report.table import NOTHING, Table


def neuron_words(result: Mapping[str, Any], *, silenced_in: str = "") -> tuple[str, str]:
    """Returns what they show, and what not.

    Args:
      silenced_in: the section that tells of silencing, where this analysis has none and another has.
    """
    models = result["neurons"]
    label, (first, *others) = next(iter(models)), models.values()
    sizes = [f"{language_of(code).english} {of['size']:,}" for code, of in first["languages"].items() if of["size"]]
    told = [
        f"{first['specific']:,} of {result['blocks'] * result['neurons_per_block']:,} neurons of {label} are "
        f"specific to one language or several{f' ({wording.names(sizes)})' if sizes else ''}."
    ]
    if first["by_chance"] is not None and first["specific"]:
        told.append(_by_chance(first["by_chance"]))
    overlaps = [of["against_first"]["specific"] for of in others if of["against_first"]["specific"]["iou"] is not None]
    if overlaps:
        ious, chance = [of["iou"] for of in overlaps], statistics.fmean(of["chance"] for of in overlaps)
        told.append(
            f"The set that another model has overlaps with it by {min(ious):.2f} to {max(ious):.2f} (intersection "
            f"over union; by chance {chance:.3f}), and {_sign(others)}."
        )
        told.append(_halves(first, ious))
    told.append(_silencing(result))
    not_shown = (
        f"{100 * result['thresholds']['top_rate']:.3g}% of all neurons are chosen at most, whatever the text, so "
        "their number alone says nothing. That a neuron is active for few languages does not say that they need it: "
        "silencing tests that, by perplexity and not by tasks, on every other window, where they were chosen on the "
        "rest; the others are drawn at random, and not for being as active."
        if result["silencing"]
        else "The share of neurons that is chosen is set beforehand, so their number alone says nothing. That a neuron "
        "is active for few languages does not say that they need it: "
        + (f"that is tested in {silenced_in}." if silenced_in else "that was not tested here (--silence does).")
    )
    return " ".join(filter(None, told)), not_shown


def neuron_tables(result: Mapping[str, Any]) -> list[Table]:
    """Returns each model's neurons, and what silencing does."""
    languages = list(result["languages"])
    rows = [
        [
            label,
            f"{of['specific']:,}",
            *_chance_cells(of["by_chance"]),
            *_against_first(of["against_first"]),
            _halves_cell(of.get("halves")),
            *(f"{of['languages'][language]['size']:,}" for language in languages),
        ]
        for label, of in result["neurons"].items()
    ]
    head = [
        "neurons",
        "specific",
        "below chance",
        "expected",
        "p-value",
        "IoU with first",
        "LAPE distance",
        "IoU of halves of the text",
        *languages,
    ]
    title = "Language-specific neurons" + (", chosen on all windows" if result["silencing"] else "")
    tables = [Table(title, head, rows)]
    rows = [
        [
            f"{label} · {silenced} silenced",
            *(
                [NOTHING] * (1 + len(languages))
                if of is None
                else [f"{of['own']['neurons']:,}", *(_change(of, code) for code in languages)]
            ),
            beyond,
        ]
        for label, effects in (result["silencing"] or {}).items()
        for (silenced, of), beyond in zip(effects.items(), beyond_others(effects).values(), strict=True)
    ]
    if rows:
        title = (
            "Silenced neurons, chosen on every other window and judged on the rest: change of log perplexity in nats a "
            "token (in brackets: as many others); last, of the silenced language beyond those others, with a 95% "
            "interval and p after Holm's correction over the languages of a model"
        )
        tables.append(Table(title, ["model", "neurons", *languages, "beyond others"], rows))
    return tables


def _by_chance(found: Mapping[str, Any]) -> str:
    if "expected" not in found:
        # Earlier versions drew one division of the windows, whose lowest may well be above the languages' by accident.
        return (
            f"One division of the windows into as many random mixtures of all languages has no neuron of as low a LAPE "
            f"as {found['below']:,} of them; how many that would be by chance was not measured."
        )
    return (
        f"{found['below']:,} of them {'has' if found['below'] == 1 else 'have'} a lower LAPE than any other neuron has "
        f"in {100 * (1 - found['significance']):.0f}% of {found['divisions']} random divisions of the windows among "
        f"the languages; about {found['expected']:.1f} would be by chance ({_p_value(found)})."
    )


def _p_value(found: Mapping[str, Any]) -> str:
    """Returns it in words, with what it is the least of."""
    shown = p_value_of_divisions(found)
    if shown.startswith("\u2264"):
        return f"p {shown}, the least that {found['divisions']} divisions can show"
    return f"p = {shown}"


def _halves(first: Mapping[str, Any], ious: Sequence[float]) -> str:
    """Returns how far other text chooses other neurons of the first model."""
    # Earlier versions did not measure it.
    halves = first.get("halves")
    if halves is None or halves["specific"]["iou"] is None:
        return "How far other text would choose other neurons of the same model was not measured."
    iou = halves["specific"]["iou"]
    if max(ious) < iou:
        told = "every pruning changes them by more than other text does"
    elif min(ious) < iou:
        told = "some prunings change them by more than other text does, others not demonstrably"
    else:
        told = "no pruning changes them demonstrably more than other text does"
    return f"Two halves of the text, each for itself, choose sets of the first model that overlap by {iou:.2f}: {told}."


def _chance_cells(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return [NOTHING] * 3
    measured = [f"{found['expected']:.1f}", p_value_of_divisions(found)] if "expected" in found else [NOTHING] * 2
    return [f"{found['below']:,}", *measured]


def _sign(others: Any) -> str:
    shifts = [of["against_first"]["lape_median_shift"] for of in others]
    known = [shift for shift in shifts if shift is not None]
    if not known:
        return "LAPE cannot be compared"
    mean = statistics.fmean(known)
    if abs(mean) < 0.001:
        return "the median LAPE stays where it was"
    what = "neurons serve languages more evenly" if mean > 0 else "neurons serve languages less evenly"
    return f"the median LAPE moves by {wording.signed(mean, 3)} nats ({what})"


def _silencing(result: Mapping[str, Any]) -> str:
    """Returns whose text suffers in the first model, and in short in the others."""
    told = []
    for label, of_model in (result["silencing"] or {}).items():
        # Earlier versions let the text through with nothing silenced.
        effects = {language: of for language, of in of_model.items() if of and of["own"]["neurons"]}
        if not effects:
            continue
        own, elsewhere, random = _effects(effects)
        hurt = _hurt_themselves(effects)
        which = f" ({wording.names([language_of(code).english for code in hurt])})" if hurt else ""
        if told:
            told.append(f"{label} {own} ({elsewhere}; {random}; {len(hurt)} of {len(effects)}{which})")
            continue
        told.append(
            f"Silencing a language\u2019s neurons changes its own log perplexity by {own} nats a token on average in "
            f"{label} (that of other languages by {elsewhere}, and as many other neurons, drawn once, its own by "
            f"{random}), and hurts the language itself, most of all and measurably {_measurably(effects)}, for "
            f"{len(hurt)} of {wording.count(len(effects), 'language')}{which}"
        )
    return f"{'; likewise '.join(filter(None, [told[0], '; '.join(told[1:])]))}." if told else ""


def _effects(effects: Mapping[str, Any]) -> tuple[str, str, str]:
    """Returns the mean change of the silenced languages, of the others, of the silenced with other neurons."""
    changes = {language: of["own"]["change"] for language, of in effects.items()}
    own = [of[language]["value"] for language, of in changes.items()]
    elsewhere = [of[code]["value"] for language, of in changes.items() for code in of if code != language]
    random = [of["others"]["change"][language]["value"] for language, of in effects.items()]
    mean_own, mean_elsewhere, mean_random = (
        wording.signed(statistics.fmean(values), 3) for values in (own, elsewhere, random)
    )
    return mean_own, mean_elsewhere, mean_random


def _hurt_themselves(effects: Mapping[str, Any]) -> list[str]:
    """Returns the languages whose text suffers most of all from their neurons' silence, and not by accident.

    It has to suffer, and more than from the silence of others. Both are tested, and the weaker test counts, corrected
    for the number of languages.
    """
    # Earlier versions did not pair the language's own neurons with the others.
    tests = {
        language: [of["own"]["change"][language], *([of["beyond"]] if "beyond" in of else [])]
        for language, of in effects.items()
    }
    corrected = holm(
        {
            language: max(1.0 if test["p_value"] is None else test["p_value"] for test in of)
            for language, of in tests.items()
        }
    )
    return [
        language
        for language, of in tests.items()
        if corrected[language] < ALPHA
        and all(test["value"] > 0 for test in of)
        and _is_most(effects[language], language)
    ]


def _is_most(of: Mapping[str, Any], language: str) -> bool:
    """Returns whether a language suffers more than all others do, and than from the silence of others."""
    changes = {code: change["value"] for code, change in of["own"]["change"].items()}
    less = [value for code, value in changes.items() if code != language]
    return all(changes[language] > value for value in (*less, of["others"]["change"][language]["value"]))


def _measurably(effects: Mapping[str, Any]) -> str:
    """Returns what was tested, and on how much."""
    corrected = f"p < {ALPHA:g} after Holm\u2019s correction over languages"
    windows = [of["beyond"]["windows"] for of in effects.values() if "beyond" in of]
    if not windows:
        return f"({corrected})"
    return f"beyond those others ({corrected}, on {wording.count(min(windows), 'window')} of each)"


def _against_first(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return [NOTHING, NOTHING]
    overlap, distance = found["specific"], found["lape_distance"]
    return [
        NOTHING if overlap["iou"] is None else f"{overlap['iou']:.3f} ({overlap['chance']:.3f})",
        NOTHING if distance is None else f"{distance:.3f}",
    ]


def _halves_cell(found: Mapping[str, Any] | None) -> str:
    if found is None or found["specific"]["iou"] is None:
        return NOTHING
    return f"{found['specific']['iou']:.3f} ({found['specific']['chance']:.3f})"


def _change(effects: Mapping[str, Any], language: str) -> str:
    own, others = (effects[which]["change"][language]["value"] for which in ("own", "others"))
    return f"{wording.signed(own, 3)} ({wording.signed(others, 3)})"
