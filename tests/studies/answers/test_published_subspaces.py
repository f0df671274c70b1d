"""The published claim on latent subspaces, judged by planted ratios."""

import numpy as np
import pytest

from jaxprune.studies.answers.published_subspaces import subspace_findings

LANGUAGES = ("ar", "de", "en", "es", "ru", "sw", "zh", "ja")


def analysis(lags_late, lags_early=0.0, *, prunings=4, languages=LANGUAGES, share=0.2, noise=0.1, less_mean=None):
    """Returns an analysis in which the agnostic part is that many dB below the specific one, give or take.

    Less the mean over languages as well, or by other many.
    """
    rng = np.random.default_rng(0)

    def block(lag):
        ratios = {
            language: {"whole": 9.0, "agnostic": 8.0, "specific": 8.0 + lag + noise * rng.standard_normal()}
            for language in languages
        }
        centred = {
            language: of if less_mean is None else {**of, "specific": 8.0 + less_mean + noise * rng.standard_normal()}
            for language, of in ratios.items()
        }
        return {
            "rank": 2,
            "specific_share": dict.fromkeys(languages, share),
            "change": {"snr_db": ratios, "centred_snr_db": centred},
        }

    def model(label, pruned):
        blocks = [block(lags_early) for _ in range(3)] + [block(lags_late) for _ in range(3)]
        return {"label": label, "pruned": pruned, "blocks": blocks}

    made = [model(f"{index}", {"languages": "en"}) for index in range(prunings)]
    # Of the first model's energy in the first model's split: what pruned models have in their own is another matter.
    for of in made:
        for index, found in enumerate(of["blocks"]):
            found |= {"specific_share": dict.fromkeys(languages, 0.01 + 0.19 * (index % 2)), "rank": 9}
    return {"models": [model("dense", None), *made], "languages": list(languages), "hidden_size": 64}


def test_what_holds_by_one_yardstick_alone_is_partly_shown():
    [found] = subspace_findings(analysis(4.0, 1.0))
    assert found.verdict == "partly shown"
    assert (
        "the agnostic part is 4.0 dB below that of the specific part on average (4.0 dB below to 4.0 dB below in "
        "single prunings; in the earlier half 1.0 dB below)"
    ) in found.evidence
    assert "measurably so in 4 of 4 prunings, and measurably the other way in 0" in found.evidence
    # A fifth of the energy in 2 of 64 directions: alike is 8.9 dB above.
    assert "the agnostic part is disturbed more in 0 of 12 such blocks." in found.evidence


def test_what_is_so_only_for_the_mean_that_all_share_is_partly_shown():
    [found] = subspace_findings(analysis(12.0, less_mean=-2.0))
    assert found.verdict == "partly shown"
    assert (
        "Less the mean that all languages share it is 2.0 dB above, measurably so in 0 and measurably the other way "
        "in 4."
    ) in found.evidence
    older = analysis(12.0)
    for model in older["models"]:
        for block in model["blocks"]:
            del block["change"]["centred_snr_db"]
    [found] = subspace_findings(older)
    assert found.verdict == "shown"
    assert "less the mean that all languages share was not kept" in found.evidence


def test_what_holds_by_all_is_shown():
    [found] = subspace_findings(analysis(12.0))
    assert found.verdict == "shown"
    assert "it is 12.0 dB below, measurably so in 4 and measurably the other way in 0." in found.evidence
    assert "disturbed more in 12 of 12 such blocks" in found.evidence


@pytest.mark.parametrize(("lag", "other_way"), [(0.0, 0), (-3.0, 4)])
def test_what_chance_explains_or_what_goes_the_other_way_is_not_shown(lag, other_way):
    [found] = subspace_findings(analysis(lag))
    assert found.verdict == "not shown"
    assert f"measurably the other way in {other_way}" in found.evidence


def test_of_few_languages_and_of_models_that_were_not_pruned_nothing_is_judged():
    assert subspace_findings(analysis(4.0, languages=LANGUAGES[:4])) == ()
    unpruned = analysis(4.0)
    unpruned["models"][2]["pruned"] = None
    assert subspace_findings(unpruned) == ()
