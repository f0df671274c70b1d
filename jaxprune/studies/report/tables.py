"""The report's tables, for the page and for Markdown."""

from collections.abc import Iterator, Mapping, Sequence

from jaxprune.evaluation.seed_spread import Spread
from jaxprune.studies.answers.effects import unit
from jaxprune.studies.answers.empty_generations import empty_generations
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.estimates import estimate
from jaxprune.studies.numbers.measured import PERPLEXITY, Cell, Measure, Measured, Setting, Shares, number_at
from jaxprune.studies.numbers.snr import Ratio, energy, median_token, without_interval
from jaxprune.studies.numbers.spreads import spread_of
from jaxprune.studies.points.grid import DENSE
from jaxprune.studies.report.summary import Summary
from jaxprune.studies.report.table import NOTHING, Table


def tables(summary: Summary) -> list[Table]:
    """Returns every number with its interval: values, differences to the baselines, signal-to-noise ratios."""
    measured = summary.measured
    return [
        *(
            table
            # Of a study without a point that is done, the dense model's.
            for setting in measured.cells or (None,)
            for measure in measured.measures
            if not measure.is_pooled and (table := _values(summary, setting, measure)).rows
        ),
        *_differences(summary),
        *(table for setting in measured.cells for table in _snr(summary, setting)),
        *_ranking(summary),
        *(table for section in summary.analyses for table in section.tables),
        *_empty(summary),
        *_left_out(summary),
        *_not_done(summary),
    ]


def cost_table(summary: Summary) -> Table:
    """Returns what each calibration takes."""
    rows = [
        [
            f"{setting} · {name}",
            _optional(cell.average("seconds", "prune"), wording.seconds) + _on_several_devices(cell),
            _optional(cell.largest("peak_bytes"), wording.size),
            _optional(cell.average("model_bytes"), wording.size),
            _optional(cell.average("sparsity"), lambda value: f"{100 * value:.1f}%"),
            str(len(cell.points)),
        ]
        for setting, cells in summary.measured.cells.items()
        for name, cell in cells.items()
    ]
    head = ["calibration", "pruning", "peak memory", "size on disk", "weights pruned", "seeds"]
    return Table("Cost", head, rows)


def _on_several_devices(cell: Cell) -> str:
    devices = {wording.flat(point.result.get("devices")) for point in cell.points.values()}
    return " (on different devices)" if len(devices) > 1 else ""


def _optional(value: float | None, show: object) -> str:
    return NOTHING if value is None or not callable(show) else str(show(value))


def _values(summary: Summary, setting: Setting | None, measure: Measure) -> Table:
    measured, source = summary.measured, measure.sources[0]
    cells = {} if setting is None else measured.cells[setting]
    languages = measured.languages_of(source)
    columns: list[list[str]] = []
    for language in languages:
        models = [cell.scores.get(language, {}) for cell in cells.values()]
        spread = None if setting is None else spread_of(measured, setting, measure, language)
        levels = [(measured.dense[language], None), *((shares, spread) for shares in models)]
        columns.append([_level(measured, measure, language, *level) for level in levels])
    rows = [list(row) for row in zip(["(dense)", *cells], *columns, strict=True)]
    what = (
        measure.name if measure.name == PERPLEXITY else f"{measure.name}, {measure.ability} ({measure.metric}, points)"
    )
    return Table(
        f"{setting or 'dense model'}: {what} with 95% intervals",
        ["calibrated on", *languages],
        rows if languages else [],
    )


def _level(measured: Measured, measure: Measure, language: str, shares: Shares, spread: Spread | None) -> str:
    """Returns ``31.2 [28.9, 33.6]``, in the unit of the language's scores."""
    shown_as = measured.reference(language, measure.sources[0])
    if measure.sources[0] not in shares or shown_as is None:
        return NOTHING
    found = estimate(measure, shares, shown_as, spread)
    value, *ends = (wording.score(measure.name, of, shown_as) for of in (found.value, *(found.interval or ())))
    return f"{value} [{', '.join(ends)}]" if ends else value


def _differences(summary: Summary) -> Iterator[Table]:
    for setting in summary.measured.cells:
        for against, what in (("english", "English calibration"), ("target", "the language's own calibration")):
            rows: list[list[str]] = []
            for found in summary.comparisons:
                if (found.setting, found.against) != (setting, against):
                    continue
                factor = unit(summary.measured, found.measure, found.language)
                size, interval = wording.change(found.measure, found.difference, factor)
                rows.append(
                    [
                        f"{found.calibration} against {found.baseline}",
                        found.language,
                        found.measure.name,
                        size,
                        interval.removeprefix("95% interval "),
                        *(wording.p_value(p).removeprefix("p = ").removeprefix("p ") for p in (
                            found.difference.p_value, found.p_languages, found.p_all
                        )),
                        f"{found.difference.seeds[0]}, {found.difference.seeds[1]}",
                        f"{found.difference.items:,}",
                        found.difference.test,
                    ]
                )  # fmt: skip
            head = ["calibration", "language", "measure", "difference", "95% interval", "p", "p (Holm, languages)",
                    "p (Holm, all)", "seeds", "items", "test"]  # fmt: skip
            if rows:
                yield Table(f"{setting}: every difference to {what}", head, rows)


def _snr(summary: Summary, setting: Setting) -> Iterator[Table]:
    languages, cells = list(summary.measured.languages), summary.measured.cells[setting]
    medians = {name: [median_token(cells, name, language) for language in languages] for name in cells}
    energies = {name: [energy(cells, name, language) for language in languages] for name in cells}
    weights = {name: cell.average("snr", "weights", "overall") for name, cell in cells.items()}
    rows = [[name, *map(_ratio, found)] for name, found in medians.items() if any(found)]
    if rows:
        what = "signal-to-noise ratio in dB of the median token, mean over blocks, by language"
        yield Table(f"{setting}: {what}, {_intervals(summary, medians)}", ["calibrated on", *languages], rows)
    rows = [
        [name, _optional(weights[name], "{:.2f}".format), *map(_ratio, found)]
        for name, found in energies.items()
        if weights[name] is not None or any(found)
    ]
    if rows:
        what = "signal-to-noise ratio in dB, of weights (all known, so exact)"
        if any(ratio for found in energies.values() for ratio in found):
            what = f"{what} and of the energies of all blocks' outputs by language, {_intervals(summary, energies)}"
        yield Table(f"{setting}: {what}", ["calibrated on", "weights", *languages], rows)


def _ratio(found: Ratio | None) -> str:
    """Returns ``9.31 [9.02, 9.60]``."""
    if found is None:
        return NOTHING
    return f"{found.db:.2f}" if found.interval is None else "{:.2f} [{:.2f}, {:.2f}]".format(found.db, *found.interval)


def _intervals(summary: Summary, ratios: Mapping[str, Sequence[Ratio | None]]) -> str:
    known = [ratio.interval for found in ratios.values() for ratio in found if ratio is not None]
    missing = without_interval(summary.study.config)
    if all(known):
        return "with 95% intervals"
    return f"with 95% intervals (where there is none, {missing})" if any(known) else missing


def _ranking(summary: Summary) -> Iterator[Table]:
    rows = [
        [
            f"{decision.setting} · {decision.language}",
            candidate.calibration,
            f"{candidate.loss.value:.3f}",
            f"{candidate.loss.interval[0]:.3f} to {candidate.loss.interval[1]:.3f}",
            NOTHING
            if candidate is decision.best
            else wording.p_value(candidate.p_best).removeprefix("p ").removeprefix("= "),
            _targets(candidate.targets),
        ]
        for decision in summary.decisions
        for candidate in decision.candidates
    ]
    head = [
        "for",
        "calibration",
        "loss by the criterion",
        "95% interval",
        "p against the first (Holm: of pairs with English over these, of others over all pairs)",
        "targets",
    ]
    if rows:
        yield Table("Every calibration by the criterion, best first", head, rows)


def _targets(results: tuple) -> str:
    known = [result for result in results if result.is_met is not None]
    return f"{sum(result.is_met for result in known)} of {len(results)}" if results else NOTHING


def _left_out(summary: Summary) -> Iterator[Table]:
    problems = summary.measured.problems
    if problems:
        yield Table("Measured, and left out", ["point", "why"], [[problem.point, problem.what] for problem in problems])


def _empty(summary: Summary) -> Iterator[Table]:
    languages = summary.measured.languages
    rows = [
        [f"{task} \u00b7 {model}", *(str(of.get(language, NOTHING)) for language in languages)]
        for task, by_model in empty_generations(summary.study, summary.measured).items()
        for model, of in by_model.items()
    ]
    if rows:
        yield Table("Empty generations", ["task and model", *languages], rows)


def _not_done(summary: Summary) -> Iterator[Table]:
    """Gives what became of points that count nowhere, and what was measured of them before."""
    study, languages = summary.study, summary.measured.languages
    every = [] if study.dense is None else [study.dense]
    bad = [point for point in (*every, *study.points) if point.status != "done"]
    missing = [*([DENSE] if study.dense is None else []), *study.missing]
    rows = [[of.id, of.status, *((of.error or {}).get(key, NOTHING) for key in ("stage", "message"))] for of in bad]
    rows += [[name, "missing", NOTHING, "not computed yet"] for name in missing]
    if rows:
        yield Table("Points that count nowhere", ["point", "status", "stage", "why"], rows)
    rows = []
    for of in bad:
        known = [number_at(of.result, (PERPLEXITY, language, "perplexity")) for language in languages]
        if any(value is not None for value in known):
            rows.append([of.id, *(NOTHING if value is None else wording.number(value) for value in known)])
    if rows:
        yield Table("Perplexities of points that count nowhere", ["point", *languages], rows)
