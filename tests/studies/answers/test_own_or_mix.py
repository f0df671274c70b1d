"""English text, own text or both, over all languages: counted and measured as planted."""

import math

import pytest

from jaxprune.studies.report.markdown import markdown_report
from jaxprune.studies.report.page import page
from jaxprune.studies.report.summary import summarise
from jaxprune.studies.report.summary_json import as_json
from tests.studies.synthetic import Study, Truth, config, share

LANGUAGES = ("ar", "de", "en", "sw")
MIXTURES = ("en", "ar", "de", "sw", "ar,en", "de,en", "sw,en")


def summary_of(folder, nats, mixtures=MIXTURES, **more):
    asked = config(LANGUAGES, mixtures, tasks=(), **{"decision": {"weights": {"perplexity": 1}}, **more})
    return summarise(Study(asked, Truth(nats=nats, spread=0.002), seed=3).read(folder))


def gains(of_mix):
    """Own text takes half a nat off a language, the mixture ``of_mix``; English loses 0.3, or 0.1 with the mixture."""

    def nats(mixture, language):
        part = share(mixture, language)
        if language == "en":
            return {0.0: -0.3, 0.5: -0.1}.get(part, 0.0)
        return 0.5 if part == 1 else of_mix if part else 0.0

    return nats


def test_both_beat_english_and_are_not_told_apart(tmp_path):
    [found] = summary_of(tmp_path / "out", gains(0.5)).own_or_mix
    assert found.own.languages == found.own.better == found.mix.better == ("ar", "de", "sw")
    assert (found.mix_or_own.better, found.mix_or_own.worse) == ((), ())
    assert 0 < found.mix_or_own.may_lose < 0.1
    for rises, planted in ((found.english_with_own, 0.3), (found.english_with_mix, 0.1)):
        assert rises.least <= rises.median <= rises.most
        assert [*rises] == pytest.approx([math.expm1(planted)] * 3, abs=0.04)
    low, high = found.mix_or_own.interval
    assert low < found.mix_or_own.mean < high
    assert abs(found.mix_or_own.mean) < 0.02
    # That English pays is told by its size; nobody else does.
    assert (found.others_with_own, found.others_with_mix) == ((), ())
    assert found.text.startswith(
        "wanda 0.5: by the criterion a language\u2019s own text loses measurably less than English text in 3 of 3 "
        "languages; own text mixed with English loses measurably less than English text in 3 of 3 languages. Of the "
        "two, neither is measurably ahead in any (the mixture may lose up to 0.0"
    )


def test_it_rests_on_the_tests_that_the_cards_rest_on(tmp_path):
    """A card says how much more the mixture may lose than own text: the same number, from the same spread of seeds."""
    summary = summary_of(tmp_path / "out", gains(0.49), seeds=(0, 1))
    [found] = summary.own_or_mix
    by_language = {of.language: of for of in summary.decisions}
    for name in ("ar", "de", "sw"):
        assert by_language[name].best.calibration == name
    mixtures = [
        of for name in ("ar", "de", "sw") for of in by_language[name].candidates if of.calibration == f"{name}+en"
    ]
    assert len(mixtures) == 3
    assert found.mix_or_own.may_lose == pytest.approx(max(of.may_lose for of in mixtures), rel=1e-12)


def test_where_one_is_ahead_it_is_named(tmp_path):
    def nats(mixture, language):
        # German is better off with the mixture, Arabic with itself; to Swahili nothing matters.
        if language == "sw":
            return 0.0
        return gains(0.7 if language == "de" else 0.2)(mixture, language)

    [found] = summary_of(tmp_path / "out", nats).own_or_mix
    assert found.own.better == ("ar", "de")
    assert (found.mix_or_own.better, found.mix_or_own.worse) == (("de",), ("ar",))
    assert "English text in 2 of 3 languages (Arabic and German); own text mixed" in found.text
    assert (
        "Of the two, the mixture loses measurably less in German; own text loses measurably less in Arabic; in the "
        "others neither is measurably ahead (the mixture may lose up to 0.0"
    ) in found.text
    ahead = 3 - found.mix_or_own.ahead
    assert ahead in (1, 2)  # Arabic, and by chance Swahili
    assert f"; by the numbers own text loses less in {ahead} of 3, on average by +0." in found.text


def test_others_who_pay_are_named_with_what_makes_them(tmp_path):
    """Arabic text costs German a fifth, with and without English; English is told of by its size."""

    def nats(mixture, language):
        return gains(0.5)(mixture, language) - 0.2 * (language == "de" and "ar" in mixture)

    [found] = summary_of(tmp_path / "out", nats).own_or_mix
    assert [of.partition("%")[0][:-1] for of in found.others_with_own] == ["German (perplexity +2"]
    assert found.others_with_own[0].endswith(") with ar")
    assert found.others_with_mix[0].endswith(") with ar+en")
    own, mix = found.others_with_own[0], found.others_with_mix[0]
    assert f"measurably worse off than with it: by own text {own}; by mixtures {mix}." in found.text


def test_own_text_that_does_harm_is_told(tmp_path):
    [found] = summary_of(tmp_path / "out", lambda mixture, language: -gains(0.5)(mixture, language)).own_or_mix
    assert found.own.worse == ("ar", "de", "sw")
    assert "in 0 of 3 languages, and measurably more in Arabic, German and Swahili" in found.text


def test_without_mixtures_only_own_text_is_judged(tmp_path):
    summary = summary_of(tmp_path / "out", gains(0.5), mixtures=("en", "ar", "de", {"all": "ar,de,en,sw"}))
    [found] = summary.own_or_mix
    assert (found.mix, found.mix_or_own, found.english_with_mix) == (None, None, None)
    assert "mix" not in found.text
    assert found.own.languages == ("ar", "de")


@pytest.mark.parametrize("mixtures", [("en", "de", "de,en"), ("ar", "de", "sw"), ("de,en", "ar,en")])
def test_one_language_or_no_english_is_no_answer_for_all(tmp_path, mixtures):
    assert summary_of(tmp_path / "out", gains(0.5), mixtures=mixtures).own_or_mix == ()


def test_it_is_the_first_thing_a_report_answers(tmp_path):
    summary = summary_of(tmp_path / "out", gains(0.5), methods=["wanda", "sparsegpt"])
    texts = [of.text for of in summary.own_or_mix]
    assert len(texts) == 2
    for report in (markdown_report(summary, ()), page(summary, ())):
        places = [report.index(text) for text in texts]
        assert report.index("own, or a mix?") < places[0] < places[1] < report.index("Which method")
    assert [of["text"] for of in as_json(summary)["own_or_mix"]] == texts
    assert as_json(summary)["own_or_mix"][0]["own"]["better"] == ["ar", "de", "sw"]
