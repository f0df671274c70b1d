"""The report as Markdown, with the figures beside it as links."""

from collections.abc import Sequence

from jaxprune.studies.answers.findings import Answer
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.report.drawing import Drawn
from jaxprune.studies.report.method_words import criterion_in_short, criterion_text, methods_text
from jaxprune.studies.report.overview import methods_table, overview
from jaxprune.studies.report.parts import (
    NO_FIGURES,
    NOTHING_DONE,
    OWN_OR_MIX,
    SECTIONS,
    lacks_figures,
    lead,
    points_text,
)
from jaxprune.studies.report.plain_text import plain, plain_caption
from jaxprune.studies.report.summary import Summary
from jaxprune.studies.report.table import markdown
from jaxprune.studies.report.tables import cost_table, tables


def markdown_report(summary: Summary, drawn: Sequence[Drawn]) -> str:
    """Returns the report as Markdown, with the figures beside it as links."""
    parts = [
        f"# {plain(summary.study.config.title)}",
        f"{plain(summary.study.config.model)} \u00b7 {points_text(summary)}",
    ]
    parts += [f"> **{plain(line)}**" for line in summary.state]
    parts.append("## The answer")
    if not summary.measured.cells:
        parts.append(NOTHING_DONE)
    if summary.answers:
        parts.append(plain(criterion_in_short(summary)))
    if summary.own_or_mix:
        parts += [f"### {OWN_OR_MIX}", *(plain(of.text) for of in summary.own_or_mix)]
    for of in summary.by_method:
        table = methods_table(of)
        parts += ["### Which method", plain(of.text), f"{plain(table.title)}:", markdown(table)]
    for setting in summary.measured.cells:
        parts += [f"### {plain(str(setting))}", plain(lead(summary, setting))]
        parts += [plain(of.text) for of in summary.for_all if of.setting == setting]
        if (in_short := overview(summary, setting)).rows:
            parts += [f"{plain(in_short.title)}:", markdown(in_short)]
        parts += [_answer(given) for given in summary.answers if given.setting == setting]
    if summary.answers:
        parts.append(plain(criterion_text(summary)))
    if summary.findings:
        parts.append("## What the published study found, and this one")
        parts.append(
            "\n".join(f"- {plain(one.claim)} **{one.verdict}.** {plain(one.evidence)}" for one in summary.findings)
        )
    if lacks_figures(summary, drawn):
        parts.append(NO_FIGURES)
    cost = cost_table(summary)
    for section, heading in SECTIONS:
        of_section = [one for one in drawn if one.section == section]
        if of_section or (section == "cost" and cost.rows):
            parts.append(f"## {heading}")
        parts += [_figure(one) for one in of_section]
        if section == "cost" and cost.rows:
            parts.append(markdown(cost))
    for of in summary.analyses:
        parts += [f"## {plain(of.heading)}", plain(of.source), *map(plain, of.shows)]
        parts.append(f"What it does not show: {plain(of.not_shown)}")
        parts += [_figure(one) for one in drawn if one.section == of.name]
        if of.notes:
            parts.append("\n".join(f"- {plain(note)}" for note in of.notes))
    parts += ["## What these numbers do not bear", "\n".join(f"- {plain(caveat)}" for caveat in summary.caveats)]
    parts += ["## How it was measured", *map(plain, methods_text(summary))]
    names = [language_of(code) for code in summary.measured.languages]
    parts.append(
        "Languages: "
        + ", ".join(
            f'{of.code} {of.english} (<bdi lang="{of.code}" dir="{of.direction}">{of.own}</bdi>)' for of in names
        )
        + "."
    )
    parts.append("## All numbers")
    for table in tables(summary):
        parts += [f"### {plain(table.title)}", markdown(table)]
    return "\n\n".join(parts) + "\n"


def _answer(given: Answer) -> str:
    """Returns what is said of a language as a list: the headline, and beneath it line by line all else."""
    language = language_of(given.language).english
    headline = f"- **{plain(language)}:** {plain(given.headline)}"
    return "\n".join([headline, *(f"  - {plain(line)}" for line in given.lines)])


def _figure(drawn: Drawn) -> str:
    return f"![{plain_caption(drawn.caption)}](figures/{drawn.path.with_suffix('.png').name})"
