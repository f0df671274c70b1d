"""The report as one HTML page that needs nothing else, and as Markdown."""

import collections
import importlib.resources
from collections.abc import Sequence
from typing import Any

import jinja2
from markupsafe import Markup

import jaxprune
from jaxprune.evaluation.intervals import FEWEST_RESAMPLED
from jaxprune.studies.answers.criterion import TargetResult, criterion_for
from jaxprune.studies.answers.findings import Answer, target_text
from jaxprune.studies.config.evaluation import Evaluation
from jaxprune.studies.figures.colours import language_colours
from jaxprune.studies.figures.files import inline_svg
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import RESAMPLES
from jaxprune.studies.numbers.measured import PERPLEXITY, Setting
from jaxprune.studies.report.drawing import Drawn
from jaxprune.studies.report.overview import methods_table, overview
from jaxprune.studies.report.plain_text import plain, plain_caption
from jaxprune.studies.report.summary import Summary
from jaxprune.studies.report.table import markdown
from jaxprune.studies.report.tables import cost_table, tables

NO_FIGURES = "Figures are missing: they need matplotlib, pip install 'jaxprune[figures]'."
NOTHING_DONE = "Nothing can be said yet: no point of the study is done, so nothing is recommended."
_SECTIONS = (
    ("heat maps", "Calibration by evaluation language"),
    ("differences", "Differences to English calibration"),
    ("depth", "Error by depth"),
    ("tasks", "Task scores, by ability"),
    ("who pays", "Who gains, who pays"),
    ("cost", "What it costs"),
)


def lead(summary: Summary, setting: Setting) -> str:
    """Returns the answer to a setting in a sentence: where another calibration than English is worth it."""
    answers = [given for given in summary.answers if given.setting == setting]
    if not answers:
        return f"{summary.undecided(setting)} So nothing is recommended."
    certain = [given for given in answers if given.is_certain]
    where = wording.names([language_of(given.language).english for given in certain])
    if summary.english is None:
        number = wording.count(len(answers), "language")
        return f"English calibration was not measured; the best of what was, for {number}:"
    decided = [of for of in summary.decisions if of.setting == setting]
    compared = wording.count(sum(of.english is not None for of in decided), "language")
    without = wording.names([language_of(of.language).english for of in decided if of.english is None])
    if all(of.english is None for of in decided):
        why = "gave no numbers" if any(of.is_english_broken for of in decided) else "was not measured"
        return f"English calibration ({summary.english}) {why} here, so nothing is compared with it: {without}."
    rest = f" In {without} English calibration has no numbers to compare with." if without else ""
    if not certain:
        return (
            f"In none of {compared} is another calibration measurably better than English ({summary.english}) by the "
            f"criterion.{rest}"
        )
    return (
        f"In {len(certain)} of {compared} another calibration than English ({summary.english}) is measurably better "
        f"by the criterion: {where}.{rest}"
    )


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
        nothing_done="" if summary.measured.cells else NOTHING_DONE,
        criterion_in_short=criterion_in_short(summary) if summary.answers else "",
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
        criterion=criterion_text(summary),
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
        no_figures=NO_FIGURES if _lacks_figures(summary, drawn) else "",
        sections=_SECTIONS,
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


def _lacks_figures(summary: Summary, drawn: Sequence[Drawn]) -> bool:
    return not drawn and bool(summary.measured.cells)


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


def points_text(summary: Summary) -> str:
    """Returns how much of the study there is."""
    done = sum(point.status == "done" for point in summary.study.points)
    total = len(summary.study.points) + len(summary.study.missing)
    return f"{done} of {wording.count(total, 'point')} done"


def criterion_in_short(summary: Summary) -> str:
    """Returns what \u201cbest\u201d means in this study, and what a loss of 0.10 is."""
    config = summary.study.config
    weights = config.decision.weights or dict.fromkeys(config.evaluation.measures, 1.0)
    shown = wording.names([f"{name} {weight:g}" for name, weight in weights.items()])
    given = "by the study file" if config.decision.weights else "alike, for the study file gives none"
    text = (
        f"The criterion is the mean loss against the dense model, weighted {given}: {shown}. A loss of 0.10 is a "
        "perplexity about a tenth higher, log(perplexity / dense), or a tenth of a task's dense score gone."
    )
    targets = [target_text(TargetResult(target, "", None)) for target in config.decision.targets]
    if targets:
        text += f" Targets: {'; '.join(targets)}. Calibrations that hold them come first."
    return text


def criterion_text(summary: Summary) -> str:
    """Returns where what does not count, and how sure \u201cmeasurably\u201d is."""
    config, measured = summary.study.config, summary.measured
    text = ""
    # Without a dense model, which the state tells of, nothing counts anywhere.
    for language in measured.languages if any(measured.dense.values()) else ():
        for source, why in criterion_for(config, measured, language).left_out.items():
            if source not in measured.dense[language] and measured.reference(language, source) is not None:
                why = "has no numbers of the dense model"
            text += f"In {language_of(language).english}, {source} {why} and does not count. "
    return text + (
        "P-values are corrected after Holm, in each setting: what is said of single measures over all languages and "
        "calibrations (who is probably worse off, over the languages alone), of English by the criterion over all "
        "pairs with English, of other calibrations by the criterion over all pairs. That no difference was found does "
        "not show that there is none: what a calibration \u201cmay lose\u201d more by the criterion is as much as the "
        "95% interval of the difference leaves open."
    )


def methods_text(summary: Summary) -> list[str]:
    """Returns how everything was measured, and on what."""
    config = summary.study.config
    calibration, evaluation = config.calibration, config.evaluation
    lines = [
        f"Model: {config.model}. Methods: {', '.join(method.label for method in config.methods)}; patterns: "
        f"{', '.join(config.patterns)}. Calibration: "
        f"{wording.count(calibration.samples, 'sequence')} of {calibration.length} tokens from {calibration.texts} "
        f"({calibration.fill}) unless a mixture states its own counts; seeds "
        f"{', '.join(map(str, config.seeds))}.",
    ]
    if evaluation.perplexity is not None:
        part = evaluation.perplexity
        lines.append(
            "Perplexity: exp of the mean negative log-likelihood a token over "
            f"{wording.count(part.windows, 'window')} of {part.length} tokens a language from {part.texts}, none of "
            "which calibrated anything. Over seeds it is averaged in nats a token."
        )
    if evaluation.snr is not None:
        part = evaluation.snr
        lines.append(
            "Signal-to-noise ratio: energy of the dense model's block outputs over that of the change, in dB, on "
            f"{wording.count(part.windows, 'window')} of {part.length} tokens a language from {part.texts}; each model "
            "runs its own hidden states. That of the median token is the median of the ratios of a window's tokens, as "
            "the mean over windows (and over blocks, where they are together); findings rest on it, because a few "
            "tokens with huge activations decide the ratio of all tokens' energies. 95% intervals are for other "
            "windows and, of several seeds, for other seeds, whose spread is learnt from all calibrations; a "
            "ratio of weights is exact, as all of them are known."
        )
    tasks = [m for m in summary.measured.measures if m.tasks and not m.is_pooled]
    if tasks:
        told = [f"{of.name} ({of.ability}; {of.metric}; {_items_text(evaluation, of.name)})" for of in tasks]
        lines.append(f"Tasks: {wording.names(told)}; the same items for every model.")
    if evaluation.harness is not None:
        for name, task in evaluation.harness.tasks.items():
            theirs = [f"{of} ({code})" for code, of in task.languages.items()]
            lines.append(f"{name} is lm-evaluation-harness\u2019s {wording.names(theirs)}.")
    lines += [
        "Comparisons are paired by item. With several seeds the test adds the errors of items and of seeds up as "
        "Behrens and Fisher have it, each with its own degrees of freedom; what a seed changes in a calibration is "
        "taken to lie between what its own seeds say and what all calibrations of the setting say together, the nearer "
        "to these the more alike they are (Smyth, 2004). With one seed of everything it is McNemar\u2019s exact test "
        f"for right and wrong answers and a bootstrap otherwise ({RESAMPLES:,} resamples; with fewer than "
        f"{FEWEST_RESAMPLED} items Student\u2019s t). Intervals are 95%, "
        "uncorrected. P-values in words are corrected after Holm over all languages and calibrations, because a "
        "calibration is recommended for what came out; those behind published findings over what the finding counts, "
        "which is told with it. The tables also have them corrected over the languages only, and as they are. "
        "Intervals of single models count items and seeds likewise; of right and wrong answers they are Wilson\u2019s.",
    ]
    results = [of.result for of in summary.study.done]
    for key, what in (
        ("versions", "Versions"),
        ("devices", "Devices"),
        ("compute_dtype", "Precision of the forward passes"),
    ):
        told = collections.Counter(text for result in results if (text := _flat(result.get(key))))
        if told:
            shown = [f"{text} ({wording.count(number, 'result')})" for text, number in told.items()]
            lines.append(f"{what}: {'; '.join(shown)}.")
    return lines


def _items_text(evaluation: Evaluation, task: str) -> str:
    limit = evaluation.limit_of(task)
    how_many = "all items" if limit is None else f"at most {wording.count(limit, 'item')} a language"
    own = evaluation.tasks.only.get(task) if evaluation.tasks else None
    return how_many if own is None else f"{how_many}, in {wording.names([language_of(of).english for of in own])} alone"


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")


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
    for of in summary.by_method:
        table = methods_table(of)
        parts += ["### Which method", plain(of.text), f"{plain(table.title)}:", markdown(table)]
    for setting in summary.measured.cells:
        parts += [f"### {plain(str(setting))}", plain(lead(summary, setting))]
        parts += [plain(of.text) for of in summary.for_all if of.setting == setting]
        if (in_short := overview(summary, setting)).rows:
            parts += [f"{plain(in_short.title)}:", markdown(in_short)]
        parts += [f"- {plain(given.text)}" for given in summary.answers if given.setting == setting]
    parts.append(plain(criterion_text(summary)))
    if summary.findings:
        parts.append("## What the published study found, and this one")
        parts.append(
            "\n".join(f"- {plain(one.claim)} **{one.verdict}.** {plain(one.evidence)}" for one in summary.findings)
        )
    if _lacks_figures(summary, drawn):
        parts.append(NO_FIGURES)
    cost = cost_table(summary)
    for section, heading in _SECTIONS:
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


def _figure(drawn: Drawn) -> str:
    return f"![{plain_caption(drawn.caption)}](figures/{drawn.path.with_suffix('.png').name})"
