"""One calibration for all languages: the one whose planted losses are least on average."""

import numpy as np
import pytest
import scipy.stats

from jaxprune.evaluation.seed_spread import pool_spread
from jaxprune.studies.answers.criterion import baselines
from jaxprune.studies.answers.decision import decide
from jaxprune.studies.answers.for_all import for_all
from jaxprune.studies.numbers.comparisons import compare_all
from jaxprune.studies.numbers.reading import read_measured
from jaxprune.studies.report.markdown import markdown_report
from jaxprune.studies.report.method_words import criterion_text
from jaxprune.studies.report.summary import summarise
from jaxprune.studies.report.summary_json import as_json
from tests.studies.synthetic import Study, Task, Truth, config, share

LANGUAGES = ("de", "en", "sw")


def found(folder, mixtures, nats, seed=0, languages=LANGUAGES):
    asked = config(languages, mixtures, tasks=(), decision={"weights": {"perplexity": 1}})
    read = Study(asked, Truth(nats=nats, spread=0.002), seed=seed).read(folder)
    measured = read_measured(read)
    comparisons = compare_all(measured, baselines(read.config, measured))
    return for_all(measured, decide(read.config, measured, comparisons), comparisons)


def test_what_serves_all_is_not_what_serves_one_best(tmp_path):
    # Each language's own text gives most to itself, a mixture of all nearly as much to everyone.
    def nats(mixture, language):
        part = share(mixture, language)
        return 0.5 if part == 1 else 0.4 if part > 0 else 0.0

    [of] = found(tmp_path / "out", ["de", "en", "sw", {"all": "de,en,sw"}], nats)
    assert of.languages == LANGUAGES
    assert of.losses[0][0] == "all"
    assert dict(of.losses)["en"] - of.losses[0][1] == pytest.approx(0.4 - 0.5 / 3, abs=0.02)
    assert of.other == "en"
    value, (low, high) = of.less
    assert value == pytest.approx(dict(of.losses)["en"] - of.losses[0][1])
    assert 0 < low < 0.4 - 0.5 / 3 < high < 0.3
    assert of.text.startswith(
        "One model for all 3 languages: \u201call\u201d loses least by the criterion on average ("
    )
    assert f" with en: {value:.2f} less, 95% interval +0.2" in of.text
    assert "); in 0 of them it is what is recommended, or no difference to that was found, and " in of.text


def test_who_pays_for_it_and_where_it_holds_the_targets_is_told(tmp_path):
    """English loses a tenth by the mixture of all, which the target of every other language forbids."""

    def nats(mixture, language):
        part = share(mixture, language)
        return 0.5 if part == 1 else 0.4 if part > 0 else 0.0

    target = {"measure": "perplexity", "other_languages_lose_at_most": 0.05}
    decision = {"weights": {"perplexity": 1}, "targets": [target]}
    asked = config(LANGUAGES, ["de", "en", "sw", {"all": "de,en,sw"}], tasks=(), decision=decision)
    summary = summarise(Study(asked, Truth(nats=nats, spread=0.002), seed=0).read(tmp_path / "out"))
    [of] = summary.for_all
    assert {payment.language for payment in of.payers} == {"en"}
    assert of.held == {"all": 1, "en": 3, "de": 0, "sw": 0} | {name: of.held[name] for name in ("de", "sw")}
    assert " Worse off than with English calibration: English (perplexity +1" in of.text
    assert of.text.endswith(
        f"By its numbers it holds the targets in 1 of 3 languages; en, which loses {dict(of.losses)['en']:.2f} on "
        "average, in 3."
    )
    told = as_json(summary)["for_all"][0]
    assert (told["worse_off"], told["holds_targets_in"]) == (list(of.costs), of.held)


def test_where_no_difference_was_found_the_loss_that_is_left_open_is_said(tmp_path):
    asked = config(LANGUAGES, ["de", "en"], tasks=(), decision={"weights": {"perplexity": 1}})
    read = Study(asked, Truth()).read(tmp_path / "out")
    measured = read_measured(read)
    comparisons = compare_all(measured, baselines(read.config, measured))
    decisions = decide(read.config, measured, comparisons)
    [of] = for_all(measured, decisions, comparisons)
    best = of.losses[0][0]
    open_ = [one.may_lose for decision in decisions for one in decision.candidates if one.calibration == best]
    assert len(of.good_in) == len(LANGUAGES)
    assert of.may_lose == max(open_) > 0
    said = f"may lose up to {np.ceil(100 * of.may_lose) / 100:.2f} more"
    assert (
        f"in 3 of them it is what is recommended, or no difference to that was found (it {said} there), and" in of.text
    )


def test_languages_that_are_judged_by_different_tasks_are_not_said_to_have_fewer(tmp_path):
    asked = config(
        LANGUAGES[:2], ["de", "en"], tasks=("exams", "proverbs"), decision={"weights": {"exams": 1, "proverbs": 1}}
    )
    asked["evaluation"]["tasks"]["only"] = {"exams": ["de"], "proverbs": ["en"]}
    tasks = {"exams": Task(languages=("de",)), "proverbs": Task("reasoning", languages=("en",))}
    made = Study(asked, Truth(), tasks=tasks)
    for result in made.results.values():
        result["missing"] = []
    summary = summarise(made.read(tmp_path / "out"))
    [of] = summary.for_all
    assert of.text.endswith(
        " In no language do all measures count, nor the same in each, which makes these losses of different kinds."
    )
    assert "In German, proverbs was not asked in this language and does not count." in criterion_text(summary)
    assert "no data" not in markdown_report(summary, [])
    [told] = as_json(summary)["for_all"]
    assert told["worst"] == {"language": of.worst[0], "loss": of.worst[1]}
    assert (told["good_in"], told["may_lose"]) == (list(of.good_in), of.may_lose)
    assert told["fewer_measures_in"] == ["de", "en"]


def test_of_equals_english_stays(tmp_path):
    [of] = found(tmp_path / "out", ["de", "en"], lambda mixture, language: 0.1 * (language == "sw"))
    by_name = dict(of.losses)
    if by_name["en"] == by_name["de"]:
        assert of.losses[0][0] == "en"
    assert of.worst[0] in ("de", "en")


def test_the_interval_of_an_average_is_students_of_its_seeds_where_items_agree(tmp_path):
    """By hand: windows that all say the same, three seeds, two calibrations, two languages that share each seed."""
    languages = ("de", "en")
    levels = {"de": [1.0, 1.1, 1.05], "en": [1.3, 1.5, 1.33]}
    made = Study(config(languages, list(levels), tasks=(), decision={"weights": {"perplexity": 1}}), Truth())
    for point, arrays in made.arrays.items():
        for language in languages:
            name = f"perplexity/{language}"
            level = 0.5 if point == "dense" else levels[point.split("_")[2]][int(point[-1])]
            arrays[f"{name}/nats"] = level * arrays[f"{name}/tokens"].astype(float)
    read = made.read(tmp_path / "out")
    measured = read_measured(read)
    comparisons = compare_all(measured, baselines(read.config, measured))
    [of] = for_all(measured, decide(read.config, measured, comparisons), comparisons)
    values = np.asarray([levels["de"], levels["en"]])
    spread = pool_spread(list(values))
    known = [spread.of(of_one) for of_one in values]
    half = scipy.stats.t.ppf(0.975, min(of[1] for of in known)) * np.sqrt(sum(of[0] for of in known) / 3)
    value = values[1].mean() - values[0].mean()
    assert of.less[0] == pytest.approx(value)
    assert of.less[1] == pytest.approx((value - half, value + half), rel=1e-6)


def test_items_of_all_languages_count_as_if_they_went_the_same_way(tmp_path):
    """As verses do that are translations of one another: the average is no surer than one language."""
    languages = ("de", "en")
    made = Study(
        config(languages, ["de", "en"], tasks=(), seeds=(0,), decision={"weights": {"perplexity": 1}}), Truth()
    )
    for point in ("wanda_0.5_en_seed0", "wanda_0.5_de_seed0"):
        arrays = made.arrays[point]
        for language in languages:
            change = np.linspace(-0.1, 0.3, len(arrays["perplexity/de/tokens"])) * (point == "wanda_0.5_en_seed0")
            arrays[f"perplexity/{language}/nats"] = (2 + change) * arrays[f"perplexity/{language}/tokens"].astype(float)
            arrays[f"perplexity/{language}/tokens"][:] = made.arrays["dense"][f"perplexity/{language}/tokens"]
    read = made.read(tmp_path / "out")
    measured = read_measured(read)
    comparisons = compare_all(measured, baselines(read.config, measured))
    decisions = decide(read.config, measured, comparisons)
    [of] = for_all(measured, decisions, comparisons)
    single = [decision.against_english.interval for decision in decisions]
    widths = [high - low for low, high in single]
    assert np.ptp(of.less[1]) == pytest.approx(np.mean(widths), rel=0.01)


def test_one_language_needs_no_compromise(tmp_path):
    assert found(tmp_path / "out", ["de", "en"], lambda mixture, language: 0.0, languages=("de",)) == ()
