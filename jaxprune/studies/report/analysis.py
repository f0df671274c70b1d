"""The analyses that a study keeps, as sections of its report: what each shows, what not, figures and numbers."""

import importlib.util
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxprune.studies.analyses import ANALYSES, MASKS, NEURONS, SUBSPACES, Stored
from jaxprune.studies.answers.published_neurons import neuron_findings
from jaxprune.studies.answers.published_subspaces import subspace_findings
from jaxprune.studies.answers.verdicts import Finding
from jaxprune.studies.figures.files import NamedFigure
from jaxprune.studies.numbers import wording
from jaxprune.studies.report.headings import Told, headings, is_silenced
from jaxprune.studies.report.mask_tables import mask_tables
from jaxprune.studies.report.mask_words import mask_words
from jaxprune.studies.report.neuron_words import neuron_tables, neuron_words
from jaxprune.studies.report.subspace_words import PARAGRAPH, subspace_table, subspace_words
from jaxprune.studies.report.table import Table


class _Words(NamedTuple):
    words: Callable[[Mapping[str, Any]], tuple[str, str]]
    tables: Callable[[Mapping[str, Any]], list[Table]]
    findings: Callable[[Mapping[str, Any]], tuple[Finding, ...]]


_KINDS = {
    MASKS: _Words(mask_words, mask_tables, lambda result: ()),
    SUBSPACES: _Words(subspace_words, lambda result: [subspace_table(result)], subspace_findings),
    NEURONS: _Words(neuron_words, neuron_tables, neuron_findings),
}


class Section(NamedTuple):
    """An analysis, as the report tells it.

    Attributes:
      name: of the section, as figures refer to it.
      heading: none other has it.
      source: of which models and text it is.
      shows: what it shows, paragraph by paragraph.
      not_shown: one on what it does not.
      notes: of the analysis itself.
      figures: drawn from it; none without matplotlib.
      findings: published ones that it bears on.
    """

    name: str
    heading: str
    source: str
    shows: tuple[str, ...]
    not_shown: str
    notes: tuple[str, ...]
    tables: tuple[Table, ...]
    figures: tuple[NamedFigure, ...]
    findings: tuple[Finding, ...] = ()


def analysis_sections(stored: Iterable[Stored], study: Path, model: str) -> tuple[tuple[Section, ...], tuple[str, ...]]:
    """Returns the sections, and why analyses are left out that cannot be read or are not what they should be.

    Args:
      study: folder in which they lie.
      model: that the study is of.
    """
    sections: list[Section] = []
    told: list[Told] = []
    problems: list[str] = []
    for of in stored:
        if of.result is None:
            problems.append(f"An analysis is left out: {of.problem}")
            continue
        try:
            other = _other_model(of.kind, of.result, model)
            if other:
                problems.append(f"An analysis is left out: {of.path} is of {other}, and the study of {model}.")
            elif of.kind == MASKS and not of.result["runs"]:
                problems.append(f"An analysis is left out: {of.path} has none. {' '.join(of.result['notes'])}")
            else:
                one = Told(of.kind, of.result, of.path.parent.relative_to(study).as_posix())
                sections.append(_section(one))
                told.append(one)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            problems.append(
                f"An analysis is left out: {of.path} is not what jaxprune analyze {of.kind} writes "
                f"({type(error).__name__}: {error}); analyse again."
            )
    return tuple(_told_apart(sections, told)), tuple(problems)


def _told_apart(sections: Sequence[Section], told: Sequence[Told]) -> Iterator[Section]:
    """Yields the sections with their headings; what one leaves to another points to it."""
    found = headings(told)
    silenced = [f"\u201c{heading}\u201d" for heading, of in zip(found, told, strict=True) if is_silenced(of)]
    for section, heading, of in zip(sections, found, told, strict=True):
        not_shown = section.not_shown
        if of.kind == NEURONS and not is_silenced(of):
            _, not_shown = neuron_words(of.result, silenced_in=wording.names(silenced))
        yield section._replace(heading=heading, not_shown=not_shown)


def _section(of: Told) -> Section:
    kind, result, place = of
    # Python reads NaN, which no analysis writes.
    json.dumps(result, allow_nan=False)
    words = _KINDS[kind]
    shows, not_shown = words.words(result)
    drawn = ANALYSES[kind].figures(result) if importlib.util.find_spec("matplotlib") else []
    return Section(
        name=place if place.rpartition("/")[2] == kind else f"{place}/{kind}",
        heading="",  # known once all are
        source=_source(kind, result),
        shows=tuple(shows.split(PARAGRAPH)),
        not_shown=not_shown,
        notes=tuple(map(str, result["notes"])),
        tables=tuple(words.tables(result)),
        figures=tuple(drawn),
        findings=words.findings(result),
    )


def _source(kind: str, result: Mapping[str, Any]) -> str:
    if kind == MASKS:
        return f"Prunings{_in_common(result['runs'])}: {', '.join(run['label'] for run in result['runs'])}."
    dtype = result.get("compute_dtype")
    pruned = [model["pruned"] for model in result["models"] if model["pruned"] is not None]
    tokens = {code: of["tokens"] if kind == NEURONS else result["tokens"][code] for code, of in _languages(result)}
    return (
        f"Models{_in_common(pruned)}: {', '.join(model['label'] for model in result['models'])}. "
        f"Text: {result['texts']}, {min(tokens.values()):,} tokens or more of each of {', '.join(tokens)}."
        f"{f' Forward passes in {dtype}.' if dtype else ''}"
    )


def _in_common(prunings: Sequence[Mapping[str, Any]]) -> str:
    """Returns what their names leave out, as all were made in the same way."""
    if len(prunings) < 2:
        return ""
    same = [
        str(prunings[0][factor])
        for factor in ("languages", "method", "pattern", "seed", "texts")
        if len({pruned.get(factor) for pruned in prunings}) == 1 and prunings[0].get(factor)
    ]
    return f" (pruned alike: {', '.join(dict.fromkeys(same))})" if same else ""


def _languages(result: Mapping[str, Any]) -> list[tuple[str, Any]]:
    languages = result["languages"]
    return list(languages.items()) if isinstance(languages, Mapping) else [(code, None) for code in languages]


def _other_model(kind: str, result: Mapping[str, Any], model: str) -> str:
    """Returns which model it is of, if that is not the study's."""
    if kind == MASKS:
        names = [str(run["model"]) for run in result["runs"]]
    else:
        first = result["models"][0]
        names = [str(first["reference"] if first["pruned"] is None else first["pruned"]["model"])]
    return next((name for name in names if name != model), "")
