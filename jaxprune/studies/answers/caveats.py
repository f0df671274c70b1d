"""What a study's numbers do not bear: computed from the study itself, so that none is forgotten and none is routine."""

from collections.abc import Iterator, Sequence

from jaxprune.studies.answers.above_dense import above_dense
from jaxprune.studies.answers.empty_generations import empty_generations, sentences
from jaxprune.studies.config.study import StudyConfig
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.floors import WORTH_HAVING, room
from jaxprune.studies.numbers.measured import PERPLEXITY, Measured
from jaxprune.studies.points.results import PointResult, StudyResults

_FEW_WINDOWS = 32
_FEW_SNR_WINDOWS = 8
_FEW_SEEDS = 3
_SHOWN = 8


def state(study: StudyResults, measured: Measured) -> tuple[str, ...]:
    """Returns what a reader has to know before anything else: what is not there, and what cannot be said for that."""
    return (*_state(study, measured),)


def _state(study: StudyResults, measured: Measured) -> Iterator[str]:
    done = sum(point.status == "done" for point in study.points)
    total = len(study.points) + len(study.missing)
    if not study.is_dense_done:
        cannot = "what pruning costs is not known, and no calibration can be called the best"
        compared = ", only compared with the others" if done > 1 else ""
        yield f"{_dense(study.dense)}: {cannot}{compared}."
    if not done:
        yield "No point is done: nothing can be said of any calibration."
    if study.missing:
        yield (
            f"Unfinished: {done} of {wording.count(total, 'point')} done, {len(study.missing)} still missing: "
            f"{wording.names(_some(study.missing))}."
        )
    bad = [point for point in study.points if point.status != "done"]
    if bad:
        by_reason: dict[str, list[str]] = {}
        for point in bad:
            by_reason.setdefault(_reason(point.error), []).append(point.id)
        told = [f"{wording.names(_some(names))} ({why})" for why, names in [*by_reason.items()][:_SHOWN]]
        hidden = sum(len(names) for names in [*by_reason.values()][_SHOWN:])
        more = f" and {hidden} more" if hidden else ""
        yield (
            f"{wording.count(len(bad), 'point')} of {total} did not come out and "
            f"{'counts' if len(bad) == 1 else 'count'} nowhere: "
            f"{'; '.join(told)}{more}."
        )
    left_out = sorted({problem.point for problem in measured.problems})
    if left_out:
        yield (
            f"Left out: {wording.count(len(measured.problems), 'measurement')} of {wording.names(_some(left_out))}; "
            "\u201cMeasured, and left out\u201d, near the end, says why."
        )
    if study.is_dense_done:
        yield from _without_dense(measured)


def _some(names: Sequence[str]) -> list[str]:
    return [*names[:_SHOWN], *([f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else [])]


def _dense(dense: PointResult | None) -> str:
    """Returns why there is no dense model to compare with."""
    if dense is None:
        return "The dense model has not been measured yet"
    what = {
        "failed": "Measuring the dense model failed",
        "damaged": "What was measured of the dense model cannot be read",
        "outdated": "The dense model has not been measured as the study file asks by now",
    }[dense.status]
    return f"{what} ({_reason(dense.error)})"


def _without_dense(measured: Measured) -> Iterator[str]:
    """Says where nothing counts of a dense model that was measured, and something of pruned ones, or nothing at all."""
    if measured.problems and not any(measured.dense.values()):
        yield (
            "Nothing that was measured of the dense model counts: what pruning costs is not known, and no calibration "
            "can be called the best."
        )
        return
    for source in dict.fromkeys(source for measure in measured.measures for source in measure.sources):
        languages = [name for name in measured.languages_of(source) if source not in measured.dense[name]]
        if languages:
            where = wording.names([language_of(name).english for name in languages])
            yield f"Of the dense model\u2019s {source} nothing counts in {where}: what is lost there is not known."


def _reason(error: object) -> str:
    return f"{error['stage']}: {error['message']}".rstrip(".") if isinstance(error, dict) else "no reason is known"


def caveats(study: StudyResults, measured: Measured) -> tuple[str, ...]:
    """Returns everything that weakens the numbers, the gravest first."""
    return (*_caveats(study.config, measured, study),)


def _caveats(config: StudyConfig, measured: Measured, study: StudyResults) -> Iterator[str]:
    by_point: dict[str, list[str]] = {}
    for problem in measured.problems:
        by_point.setdefault(problem.point, []).append(problem.what.rstrip("."))
    for point, (first, *others) in list(by_point.items())[:_SHOWN]:
        yield f"Left out: {point}, {first}{f', and {len(others)} more' if others else ''}."
    if len(by_point) > _SHOWN:
        more = sum(map(len, list(by_point.values())[_SHOWN:]))
        yield (
            f"Left out besides: {more} more measurements; "
            "\u201cMeasured, and left out\u201d, near the end, has all of them."
        )
    yield from _missing_data(study, measured)
    yield from _seeds(measured)
    perplexity = config.evaluation.perplexity
    if perplexity is not None and perplexity.windows < _FEW_WINDOWS:
        yield (
            f"Perplexity rests on {wording.count(perplexity.windows, 'window')} of {perplexity.length} tokens a "
            "language: "
            "enough to show large differences, not small ones."
        )
    ratios = config.evaluation.snr
    if ratios is not None and ratios.windows < _FEW_SNR_WINDOWS:
        yield (
            f"Signal-to-noise ratios rest on {wording.count(ratios.windows, 'window')} of {ratios.length} tokens a "
            "language: "
            + (
                "they have no intervals, and other text may well say otherwise."
                if ratios.windows == 1
                else "their intervals are wide, and differences between calibrations that are within them say nothing."
            )
        )
    yield from _chance(measured)
    yield from sentences(empty_generations(study, measured))
    texts = {part.texts for part in (config.calibration, perplexity, config.evaluation.snr) if part is not None}
    if "sample" in texts:
        yield (
            "The texts \u201csample\u201d are one book in translation: one register of language, old in some of its "
            "editions, and surely in the model's training data. Text of the kind that the model will see may say "
            "otherwise."
        )
    elif perplexity is not None and perplexity.texts != config.calibration.texts:
        yield (
            f"Calibrated on {config.calibration.texts}, measured on {perplexity.texts}: what is lost is also the "
            "change of "
            "text."
        )
    if config.model.startswith("sample:"):
        yield (
            "The weights came quantized to about 4 bits and were unpacked; \u201cdense\u201d means those weights, and "
            "pruning "
            "comes on top of what quantizing had lost."
        )
    elif config.model.endswith(".gguf"):
        yield "The weights come from a GGUF file, as a rule quantized; \u201cdense\u201d means those weights."
    if PERPLEXITY in config.evaluation.measures:
        yield (
            "Perplexities of different languages are not comparable (other text, other tokens): read columns, or "
            "changes "
            "against dense."
        )
    yield (
        "Perplexity is no ability: it can improve where tasks do not, which is why knowledge, reasoning and language "
        "modelling are told apart."
    )
    yield from _abilities(measured)
    yield from above_dense(measured)
    yield from _peaks(measured)
    yield from _devices(study)
    yield (
        "Points share what they have in common: a point that found statistics or a beginning done took less time for "
        "it, and the first of a process compiled for the others: differences between times are of that order, and no "
        "cost of a language."
    )
    yield (
        "A pruned model is stored as large as the dense one and runs as fast on ordinary hardware: zeros are stored "
        "and "
        "multiplied like any number."
    )


def _peaks(measured: Measured) -> Iterator[str]:
    points = [point for cells in measured.cells.values() for cell in cells.values() for point in cell.points.values()]
    if any(point.result.get("peak_bytes") for point in points):
        of_process = any(point.result.get("peak_of") == "process" for point in points)
        since = "since it began, other points among it" if of_process else "while it did the point, all stages together"
        yield (
            f"Peak memory is what the process held on the host {since}; another machine or mesh has another. It is "
            "called a cost only where the least of a calibration's seeds is above the most of English calibration's."
        )


def _devices(study: StudyResults) -> Iterator[str]:
    by_device: dict[str, list[str]] = {}
    for point in study.done:
        if devices := wording.flat(point.result.get("devices")):
            by_device.setdefault(devices, []).append(point.id)
    if len(by_device) > 1:
        told: list[str] = []
        for device, names in sorted(by_device.items(), key=lambda item: -len(item[1])):
            told.append(f"{wording.count(len(names), 'result')} on {device}")
            if len(names) <= _SHOWN:
                told[-1] += f" ({wording.names(names)})"
        yield (
            f"Not all was computed on the same devices: {'; '.join(told)}. Seconds and memory on one are not "
            "comparable with those on another, and the numbers differ by rounding as well."
        )


def _missing_data(study: StudyResults, measured: Measured) -> Iterator[str]:
    by_task: dict[str, list[str]] = {}
    first = study.done[0].result if study.done else {}
    for task, language in first.get("missing", []):
        by_task.setdefault(task, []).append(language_of(language).english)
    for task, languages in by_task.items():
        yield f"{task} has no data in {wording.names(languages)}, where it counts nowhere."
    known = {
        language for measure in measured.measures for of in measure.sources for language in measured.languages_of(of)
    }
    empty = [language_of(language).english for language in measured.languages if language not in known]
    if empty and study.done:
        yield f"Nothing was measured in {wording.names(empty)}."


def _abilities(measured: Measured) -> Iterator[str]:
    """What no task asked for: of that nothing is known."""
    tasks = sorted({task for measure in measured.measures for task in measure.tasks})
    asked = {measure.ability for measure in measured.measures if measure.tasks}
    absent = [ability for ability in ("language", "knowledge", "reasoning") if ability not in asked]
    if tasks and absent:
        yield (
            f"No task asked for {' or '.join(absent)}, of which nothing is known; what is said of tasks rests on "
            f"{wording.names(tasks)}."
        )


def _seeds(measured: Measured) -> Iterator[str]:
    numbers = [
        min([len(cell.points), *(len(of.seeds) for shares in cell.scores.values() for of in shares.values())])
        for cells in measured.cells.values()
        for name, cell in cells.items()
        if measured.mixtures[name]
    ]
    if not numbers:
        return
    if max(numbers) == 1:
        yield (
            "One calibration seed: intervals and p-values know other items, not other calibration text, and so call "
            "more "
            "certain than is."
        )
    elif min(numbers) < _FEW_SEEDS:
        fewest = min(numbers) == max(numbers)
        yield (
            f"Only {wording.count(min(numbers), 'seed')} for {'each calibration' if fewest else 'some calibrations'}: "
            "what other calibration text would change is known poorly. It is believed to lie between what a "
            "calibration's own seeds say and what all calibrations of the setting say together."
        )


def _chance(measured: Measured) -> Iterator[str]:
    """Tasks at which the dense model is no better than guessing, where nothing can be lost; or it is not known."""
    for measure in measured.measures:
        if not measure.tasks or measure.is_pooled:
            continue
        weak: list[str] = []
        little: list[str] = []
        unknown: list[str] = []
        for language, dense in measured.dense.items():
            if measure.name not in dense:
                continue
            name, found = language_of(language).english, room(measured, measure, language, dense)
            points = wording.scale(dense[measure.name])
            if not measured.baselines[language][measure.name]:
                unknown.append(name)
            elif not found.is_above:
                weak.append(name)
            elif points * found.above < WORTH_HAVING:
                little.append(f"{points * found.above:.1f} in {name}, where a point is {1 / points / found.value:.0%}")
        if weak:
            yield (
                f"{measure.name}: in {wording.names(weak)} the dense model is not measurably above the best baseline "
                "without a model (chance, majority or shared words), so nothing can be lost there, and it does not "
                "count."
            )
        if little:
            yield (
                f"{measure.name}: the dense model is few points above the best baseline without a model, "
                f"{wording.names(little)} of its score: a few items would decide there, so it does not count."
            )
        if unknown:
            yield (
                f"{measure.name}: in {wording.names(unknown)} nobody has said what is scored without a model, so how "
                "much of a score is more than that is not known."
            )
