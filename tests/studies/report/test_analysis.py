"""What a report says of the analyses that a study keeps: numbers that were planted, in words and tables."""

import json

import pytest

from jaxprune.studies.analyses import read_analyses
from jaxprune.studies.report.analysis import analysis_sections
from jaxprune.studies.report.mask_words import mask_words
from jaxprune.studies.report.neuron_words import neuron_tables, neuron_words
from jaxprune.studies.report.subspace_words import subspace_table, subspace_words
from tests.studies import made_analyses


def test_language_beyond_the_seed_is_told_only_where_it_is(tmp_path):
    shows, not_shown = mask_words(made_analyses.masks(tmp_path / "much"))
    assert "Of two languages the masks agree less than of two seeds in 4 of 4 comparisons" in shows
    assert "beyond what another sample" in shows
    assert "differ in the seed only, so" not in not_shown
    shows, _ = mask_words(made_analyses.masks(tmp_path / "none", by_language=0, by_seed=0.2))
    assert "beyond what another sample" not in shows


def test_masks_without_seeds_say_that_noise_is_not_known(tmp_path):
    found = made_analyses.masks(tmp_path)
    pairs = [pair for pair in found["overlap"]["pairs"] if pair["differ"] == ["languages"]]
    shows, not_shown = mask_words({**found, "overlap": {**found["overlap"], "pairs": pairs}})
    assert "if that is the language of calibration (2 pairs)." in shows
    assert "comparisons" not in shows
    assert "is not known here" in not_shown


def test_which_part_is_disturbed_is_told():
    shows, not_shown = subspace_words(made_analyses.subspaces())
    assert shows.startswith("The split means what it says")
    assert "after 3 of 3 blocks (0.60 against 0.40 on average; chance 0.020)" in shows
    assert "tells the language in 98% of cases, the agnostic part in 35% (chance 33%)" in shows
    # Of six blocks in either pruning; German's own text helps German only: a third of one of two models.
    assert (
        "what languages share more: over all prunings, the signal-to-noise ratio of the agnostic part is 4.2 dB"
        in shows
    )
    assert "below that of the specific part, and lower in 6 of 6 blocks" in shows
    assert "(German; 1 pruning) changes that language’s ratio by +1.5 dB in the specific and 0.0 dB" in shows
    assert "0.950 to 0.950 (two halves of the text: 0.970)" in shows
    assert "2 directions for 3 languages, and was found on 4,000 tokens of each from sample" in not_shown
    shows, _ = subspace_words(made_analyses.subspaces(agnostic=9.0, specific=4.0, own=0.0))
    assert "what tells languages apart more" in shows
    assert "5.0 dB above" in shows


def test_identical_models_have_no_ratio():
    found = made_analyses.subspaces()
    for model in found["models"][1:]:
        for block in model["blocks"]:
            for parts in block["change"]["snr_db"].values():
                parts.update(dict.fromkeys(parts))
    shows, _ = subspace_words(found)
    assert "disturbs" not in shows
    assert "in place of English" not in shows
    assert subspace_table(found).rows[1][3] == "–"


def test_a_model_alone_is_told_of_without_comparisons():
    found = made_analyses.subspaces()
    found["models"] = found["models"][:1]
    shows, _ = subspace_words(found)
    assert "Pruning" not in shows
    alone = made_analyses.neurons()
    alone["neurons"] = {"dense": alone["neurons"]["dense"]}
    assert "overlaps with it" not in neuron_words(alone)[0]


def test_neurons_and_their_silence_are_told():
    found = made_analyses.neurons()
    shows, not_shown = neuron_words(found)
    assert shows.startswith("12 of 200 neurons of the first model are specific")
    assert "several (German 4, English 4 and Swahili 4)" in shows
    assert "no neuron has as low a LAPE as 12 of them" in shows
    assert "overlaps with it by 1.00 to 1.00" in shows
    assert "by +0.800 nats a token on average in dense (that of other languages by +0.050" in shows
    assert "as many other neurons its own by +0.010), and hurts the language itself most for 3 of 3 languages" in shows
    assert shows.endswith("; likewise de · wanda +0.800 (+0.050; +0.010; 3 of 3).")
    assert "6% of all neurons are chosen at most" in not_shown
    tables = neuron_tables(found)
    assert [len(table.rows) for table in tables] == [2, 6]
    assert tables[1].rows[0][2] == "+0.800 (+0.010)"
    assert "--silence does" in neuron_words(made_analyses.neurons(is_causal=False))[1]


@pytest.mark.parametrize("text", ["{", "[]", '{"models": []}', '{"models": [{}], "notes": []}'])
def test_what_is_no_analysis_is_left_out_and_said(tmp_path, text):
    folder = tmp_path / "analysis" / "of-some"
    folder.mkdir(parents=True)
    (folder / "subspaces.json").write_text(text)
    (tmp_path / "analysis" / "neurons.json").write_text(json.dumps(made_analyses.neurons()))
    sections, problems = analysis_sections(read_analyses(tmp_path), tmp_path)
    assert [section.name for section in sections] == ["analysis"]
    [problem] = problems
    assert "subspaces.json" in problem
    assert "analyse again" in problem
