"""How a study was measured, and what its criterion is, in words."""

import collections

from jaxprune.evaluation.intervals import FEWEST_RESAMPLED
from jaxprune.studies.answers.criterion import TargetResult, criterion_for
from jaxprune.studies.answers.target_words import target_text
from jaxprune.studies.config.evaluation import Evaluation
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.language_names import named
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import RESAMPLES
from jaxprune.studies.report.summary import Summary
from jaxprune.tasks import TASKS
from jaxprune.tasks.items import METRIC_MEANINGS


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
        text += (
            f" Targets: {'; '.join(targets)}. Calibrations that hold them all come first; where none does, the "
            "criterion alone decides."
        )
    return text + _mixtures_in_words(summary)


def _mixtures_in_words(summary: Summary) -> str:
    """Returns what is in calibrations whose names do not say it: “all”: 8 sequences each of ar and de."""
    told: list[str] = []
    for name, mixture in summary.measured.mixtures.items():
        if named(name) != name and mixture:
            counts = set(mixture.values())
            languages = [code if len(counts) == 1 else f"{code} {number}" for code, number in mixture.items()]
            each = f"{wording.count(counts.pop(), 'sequence')} each of " if len(counts) == 1 else "sequences of "
            told.append(f" {named(name)}: {each}{wording.names(languages)}.")
    return "".join(told)


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
        lines.append(
            f"Tasks: {wording.names(told)}; the same items for every model. Of a task one metric is told; the results "
            "of the points have its others, which may say less."
        )
        lines += [f"{of.name}: {TASKS[of.name].description}." for of in tasks if of.name in TASKS]
        metrics = dict.fromkeys(of.metric for of in tasks)
        lines += [f"{name}: {METRIC_MEANINGS[name]}." for name in metrics if name in METRIC_MEANINGS]
    if evaluation.harness is not None:
        for name, task in evaluation.harness.tasks.items():
            theirs = [f"{of} ({code})" for code, of in task.languages.items()]
            lines.append(f"{name} is lm-evaluation-harness\u2019s {wording.names(theirs)}.")
    lines += [
        "Comparisons are paired by item. With several seeds the test adds the errors of items and of seeds up as "
        "Behrens and Fisher have it, each with its own degrees of freedom; what a seed changes in a calibration is "
        "taken to lie between what its own seeds say and what all calibrations of the setting (of both settings, where "
        "methods are compared) say together, the nearer to these the more alike they are (Smyth, 2004). With one seed "
        "of everything it is McNemar\u2019s exact test "
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
        told = collections.Counter(text for result in results if (text := wording.flat(result.get(key))))
        if told:
            shown = [f"{text} ({wording.count(number, 'result')})" for text, number in told.items()]
            lines.append(f"{what}: {'; '.join(shown)}.")
    return lines


def _items_text(evaluation: Evaluation, task: str) -> str:
    limit = evaluation.limit_of(task)
    how_many = "all items" if limit is None else f"at most {wording.count(limit, 'item')} a language"
    own = evaluation.tasks.only.get(task) if evaluation.tasks else None
    return how_many if own is None else f"{how_many}, in {wording.names([language_of(of).english for of in own])} alone"
