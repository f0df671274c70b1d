"""The report as one HTML page that needs nothing else, and as Markdown."""

import importlib.resources
from collections.abc import Sequence
from typing import Any

import jinja2
from markupsafe import Markup

import jaxprune
from jaxprune.studies.answers.findings import Answer
from jaxprune.studies.figures.colours import language_colours
from jaxprune.studies.figures.files import inline_svg
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.numbers.measured import PERPLEXITY
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
from jaxprune.studies.report.summary import Summary
from jaxprune.studies.report.table import NOTHING
from jaxprune.studies.report.tables import cost_table, tables


def page(summary: Summary, drawn: Sequence[Drawn]) -> str:
    """Returns the page; without figures it says that they are missing."""
    colours = language_colours(summary.measured.languages)
    folder = importlib.resources.files("jaxprune.studies.report")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string((folder / "page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        title=summary.study.config.title,
        model=summary.study.config.model,
        points=points_text(summary),
        style=Markup((folder / "page.css").read_text(encoding="utf-8")),
        state=summary.state,
        nothing=NOTHING,
        nothing_done="" if summary.measured.cells else NOTHING_DONE,
        criterion_in_short=criterion_in_short(summary) if summary.answers else "",
        own_or_mix_heading=OWN_OR_MIX,
        own_or_mix=[of.text for of in summary.own_or_mix],
        by_method=[{"text": of.text, "table": methods_table(of)} for of in summary.by_method],
        settings=[
            {
                "name": str(setting),
                "lead": lead(summary, setting),
                "for_all": [of.text for of in summary.for_all if of.setting == setting],
                "overview": overview(summary, setting),
                "cards": [_card(given, colours) for given in summary.answers if given.setting == setting],
            }
            for setting in summary.measured.cells
        ],
        criterion=criterion_text(summary) if summary.answers else "",
        findings=summary.findings,
        figures=[
            {
                "section": one.section,
                "caption": one.caption,
                "svg": Markup(inline_svg(one.path, one.caption)),
                "is_open": _is_open(one, drawn),
            }
            for one in drawn
        ],
        no_figures=NO_FIGURES if lacks_figures(summary, drawn) else "",
        sections=SECTIONS,
        cost=cost_table(summary),
        analyses=summary.analyses,
        caveats=summary.caveats,
        methods=methods_text(summary),
        languages=[language_of(code) for code in summary.measured.languages],
        tables=tables(summary),
        version=jaxprune.__version__,
    )


def _is_open(one: Drawn, drawn: Sequence[Drawn]) -> bool:
    """Returns whether a figure is seen at once, and printed: what a decision needs, perplexity before all else."""
    prefix = {"heat maps": "heatmap", "who pays": "who-pays"}.get(one.section)
    if prefix is not None:
        of_perplexity = [of for of in drawn if of.path.stem.startswith(f"{prefix}-{PERPLEXITY}-")]
        return not of_perplexity or one in of_perplexity
    return one.section == "tasks"


def _card(given: Answer, colours: dict[str, str]) -> dict[str, Any]:
    lines = [*given.effects, given.own, given.others, given.passed_over, given.doubts]
    return {
        "language": language_of(given.language),
        "is_certain": given.is_certain,
        "headline": given.headline,
        "lines": [line for line in lines if line],
        "more": [line for line in (given.targets, given.cost) if line],
        "colour": "currentColor" if colours[given.language] == "#000000" else colours[given.language],
    }
