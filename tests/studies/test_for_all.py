"""One calibration for all languages: the one whose planted losses are least on average."""

import pytest

from jaxprune.studies.comparisons import compare_all
from jaxprune.studies.criterion import baselines
from jaxprune.studies.decision import decide
from jaxprune.studies.for_all import for_all
from jaxprune.studies.measured import read_measured
from tests.studies.synthetic import Study, Truth, config, share

LANGUAGES = ("de", "en", "sw")


def found(folder, mixtures, nats, seed=0, languages=LANGUAGES):
    asked = config(languages, mixtures, tasks=(), decision={"weights": {"perplexity": 1}})
    read = Study(asked, Truth(nats=nats, spread=0.002), seed=seed).read(folder)
    measured = read_measured(read)
    return for_all(decide(read.config, measured, compare_all(measured, baselines(read.config, measured))))


def test_what_serves_all_is_not_what_serves_one_best(tmp_path):
    # Each language's own text gives most to itself, a mixture of all nearly as much to everyone.
    def nats(mixture, language):
        part = share(mixture, language)
        return 0.5 if part == 1 else 0.4 if part > 0 else 0.0

    [of] = found(tmp_path / "out", ["de", "en", "sw", {"all": "de,en,sw"}], nats)
    assert of.languages == LANGUAGES
    assert of.losses[0][0] == "all"
    assert dict(of.losses)["en"] - of.losses[0][1] == pytest.approx(0.4 - 0.5 / 3, abs=0.02)
    assert of.english == "en"
    assert of.text.startswith("One model for all 3 languages: all loses least by the criterion on average (")
    assert " with en); it is recommended, or as good within chance, for 0 of them, and " in of.text


def test_of_equals_english_stays(tmp_path):
    [of] = found(tmp_path / "out", ["de", "en"], lambda mixture, language: 0.1 * (language == "sw"))
    by_name = dict(of.losses)
    if by_name["en"] == by_name["de"]:
        assert of.losses[0][0] == "en"
    assert of.worst[0] in ("de", "en")


def test_one_language_needs_no_compromise(tmp_path):
    assert found(tmp_path / "out", ["de", "en"], lambda mixture, language: 0.0, languages=("de",)) == ()
