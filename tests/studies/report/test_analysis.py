"""What a report says of the analyses that a study keeps: numbers that were planted, in words and tables."""

import itertools
import json

import pytest

from jaxprune.studies.analyses import read_analyses
from jaxprune.studies.report.analysis import analysis_sections
from jaxprune.studies.report.headings import Told, headings
from jaxprune.studies.report.mask_words import mask_words
from jaxprune.studies.report.neuron_words import neuron_tables, neuron_words
from jaxprune.studies.report.subspace_words import subspace_table, subspace_words
from tests.studies import made_analyses


def test_language_beyond_the_seed_is_told_only_where_it_is(tmp_path):
    shows, not_shown = mask_words(made_analyses.masks(tmp_path / "much"))
    assert "with those of another seed more than with any of another language in 4 of 4 prunings: the language" in shows
    assert "beyond what another sample" in shows
    assert "differ in the seed only, so" not in not_shown
    shows, _ = mask_words(made_analyses.masks(tmp_path / "none", by_language=0, by_seed=0.2))
    assert "beyond what another sample" not in shows


def test_masks_without_seeds_say_that_noise_is_not_known(tmp_path):
    found = made_analyses.masks(tmp_path)
    pairs = [pair for pair in found["overlap"]["pairs"] if pair["differ"] == ["languages"]]
    shows, not_shown = mask_words({**found, "overlap": {**found["overlap"], "pairs": pairs}})
    assert "if that is the language of calibration (2 pairs)." in shows
    assert "more than with any of another language" not in shows
    assert "is not known here" in not_shown


@pytest.fixture
def channels(tmp_path):
    """Returns masks in which the inputs of one projection stand out by 20 points, and some hidden channels."""
    found = json.loads(json.dumps(made_analyses.masks(tmp_path / "runs")))
    upper = found["quantiles"].index(0.95)
    hidden = [[3, 11, 7], [3, 11, 8], [3, 4, 5], [20, 21, 22]]
    for run, most in zip(found["runs"], hidden, strict=True):
        zeros = found["zeros"][run["label"]]
        zeros["hidden_channels"]["most"] = [[channel, 0.9] for channel in most]
        for (name, kernel), side in itertools.product(zeros["kernels"].items(), ("inputs", "outputs")):
            stands_out = side == "inputs" and "down_proj" in name
            kernel[side] |= {"gini_by_chance": 0.0}
            kernel[side]["quantiles"][upper] = run["sparsity"] + (0.2 if stands_out else 0.0099)
    return found


def test_channels_that_stand_out_are_told(channels):
    shows, _ = mask_words(channels)
    assert "Single channels stand out most among the inputs of down_proj (20): in brackets, by how many" in shows
    assert "among the 3 that lost most in more than half of a method’s prunings: wanda 3 (3 of 4)." in shows
    for zeros in channels["zeros"].values():
        zeros["hidden_channels"] = None
        for kernel in zeros["kernels"].values():
            kernel["inputs"]["quantiles"] = kernel["outputs"]["quantiles"]
    shows, _ = mask_words(channels)
    assert "Single channels" not in shows
    assert "hidden channels" not in shows


def test_what_chance_is_the_level_of_is_told(channels):
    assert "as far as the pattern leaves it a choice): query heads" in mask_words(channels)[0]
    for run in channels["runs"]:
        run["concentration"]["query_heads"] = {"gini": 0.0, "by_chance": 0.0}
    assert "): query heads even by the pattern, neurons 0." in mask_words(channels)[0]
    channels["runs"][0]["concentration"]["query_heads"] = {"gini": 0.25, "by_chance": 0.125}
    assert "query heads 0.250 (0.125), and even by the pattern in 3 runs, neurons" in mask_words(channels)[0]


def test_masks_of_an_earlier_version_and_masks_that_were_left_out(tmp_path, channels):
    for run in channels["runs"]:
        del run["competition"]
    for name, result in (("earlier", channels), ("none", {"runs": [], "notes": ["Masks are left out: why."]})):
        (tmp_path / "analysis" / name).mkdir(parents=True)
        (tmp_path / "analysis" / name / "masks.json").write_text(json.dumps(result))
    [section], [problem] = analysis_sections(read_analyses(tmp_path), tmp_path, "a-model")
    assert (
        "(Gini coefficient; 0 is alike on all, in brackets what zeros give that fall independently" in section.shows[0]
    )
    captions = {figure.name: figure.caption for figure in section.figures}
    assert "dotted, what zeros give that fall independently" in captions["zeros-on-neurons"]
    assert problem.endswith("none/masks.json has none. Masks are left out: why.")


def test_which_part_is_disturbed_is_told():
    shows, not_shown = subspace_words(made_analyses.subspaces())
    assert (
        "after 3 of 3 blocks, beyond chance after 3 (Holm\u2019s correction over blocks). On average it does so"
        in shows
    )
    assert (
        "in 0.60 of cases against 0.40 (by chance 0.020), a difference of +0.200 (95% interval +0.160 to +0.2" in shows
    )
    assert "tells the language in 98% of cases, the agnostic part in 35% (by chance 33%)" in shows
    assert "what tells languages apart lies mostly in the former" in shows
    assert "The agnostic part does so in 35% over the first 1 block and in 35% over the last 1." in shows
    # German's own text helps German only: a third of one of two models.
    assert "is 6.0 dB in the agnostic and 10.2 dB in the specific part" in shows
    # A fifth of the energy in 2 of 640 directions: 10 log10(0.25 * 319).
    assert "the agnostic part is disturbed more. That rests on 2 prunings with 1 seed.\n\nWere all 640 direc" in shows
    assert (
        "+19.0 dB above, and it is +4.2: direction by direction, what tells languages apart is disturbed more" in shows
    )
    assert "Of the energy in the specific part of dense, 90% is one mean that all languages share (of that in" in shows
    assert (
        "ratio is 3.0 dB in the agnostic and 0.2 dB in the specific part: of what varies, the agnostic part is "
        in shows
    )
    assert "the agnostic part’s is 6.0 dB over the first 1 block and 6.0 over the last 1 and the specific" in shows
    assert "(German; 1 pruning) changes that language’s ratio by +1.5 dB in the specific and 0.0 dB" in shows
    assert "to that of dense is 0.950 to 0.950, from the same text; two halves" in shows
    assert "in dense itself, give 0.970." in shows
    assert "2 directions for 3 languages, and was found on 4,000 tokens of each from sample" in not_shown
    shows, _ = subspace_words(made_analyses.subspaces(agnostic=9.0, specific=30.0, own=0.0))
    assert "what tells languages apart is disturbed less" in shows
    assert "of what each holds, the agnostic part is disturbed more" in shows
    shows, _ = subspace_words(made_analyses.subspaces(agnostic=9.0, specific=3.0, own=0.0))
    assert "of what each holds, the agnostic part is disturbed less" in shows


@pytest.mark.parametrize(
    ("specific", "left", "words"),
    [
        (0.95, 0.88, "languages apart is not confined to the former"),
        (0.3, 0.35, "languages apart is not confined to the former"),
    ],
)
def test_what_the_check_does_not_bear_out_is_said_to_be_so(specific, left, words):
    found = made_analyses.subspaces()
    for model in found["models"]:
        for block in model["blocks"]:
            block["sentences"]["identification"] |= {
                "specific": dict.fromkeys(made_analyses.LANGUAGES, specific),
                "agnostic": dict.fromkeys(made_analyses.LANGUAGES, left),
            }
    assert words in subspace_words(found)[0]


def test_where_the_agnostic_part_tells_the_language_is_said_by_depth():
    found = json.loads(json.dumps(made_analyses.subspaces(blocks=6)))
    for index, block in enumerate(found["models"][0]["blocks"]):
        block["sentences"]["identification"]["agnostic"] = dict.fromkeys(made_analyses.LANGUAGES, index / 10)
    assert "in 5% over the first 2 blocks and in 45% over the last 2." in subspace_words(found)[0]
    few = subspace_words(made_analyses.subspaces(blocks=2))[0]
    assert "tells the language in 98%" in few
    assert "The agnostic part does so" not in few


def test_seeds_are_counted_where_others_are_pruned():
    found = json.loads(json.dumps(made_analyses.subspaces()))
    found["models"][2]["pruned"]["seed"] = "seed 1"
    assert "That rests on 2 prunings with 2 seeds." in subspace_words(found)[0]
    found["models"][1]["pruned"] = None
    assert "rests on" not in subspace_words(found)[0]


@pytest.mark.parametrize(
    ("gains", "better", "words"),
    [
        ((0.03, 0.03, 0.03), 3, "beyond chance after 0 (Holm"),
        # 0.042 is 2.1 standard errors: by itself more than chance, of three blocks not.
        ((0.042, 0.001, 0.2), 3, "beyond chance after 1 (Holm"),
        ((-0.2, -0.01, 0.2), 1, "beyond chance after 1, and less often, beyond chance, after 1 (Holm"),
    ],
)
def test_after_how_many_blocks_translations_are_found_beyond_chance(gains, better, words):
    found = json.loads(json.dumps(made_analyses.subspaces()))
    for block, gain in zip(found["models"][0]["blocks"], gains, strict=True):
        block["sentences"]["retrieval"]["agnostic"] = dict.fromkeys(made_analyses.LANGUAGES, 0.4 + gain)
        block["sentences"]["retrieval_gain"] = made_analyses.gain(gain)
    shows, _ = subspace_words(found)
    assert f"after {better} of 3 blocks, {words}" in shows


def test_an_analysis_from_before_gains_were_kept_says_so(tmp_path):
    found = json.loads(json.dumps(made_analyses.subspaces()))
    for model in found["models"]:
        del model["retrieval_gain"]
        for block in model["blocks"]:
            del block["sentences"]["retrieval_gain"]
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "subspaces.json").write_text(json.dumps(found))
    [section], problems = analysis_sections(read_analyses(tmp_path), tmp_path, "a-model")
    assert not problems
    assert "after 3 of 3 blocks. On average" in section.shows[0]
    assert "whether that is more than chance cannot be said" in section.shows[0]
    assert "analysing again does" in section.shows[0]
    [table] = section.tables
    assert {row[table.head.index("difference (95% interval)")] for row in table.rows} == {"–"}


def test_identical_models_have_no_ratio():
    found = made_analyses.subspaces()
    for model in found["models"][1:]:
        for block in model["blocks"]:
            for kind in ("snr_db", "centred_snr_db"):
                for parts in block["change"][kind].values():
                    parts.update(dict.fromkeys(parts))
    shows, _ = subspace_words(found)
    assert "signal-to-noise" not in shows
    assert "in place of English" not in shows
    assert "The same hidden states as those of dense has en · wanda and de · wanda." in shows
    table = subspace_table(found)
    ratios = [index for index, name in enumerate(table.head) if name.startswith("SNR")]
    assert [row[1] for row in table.rows] == ["20.0% (0.3%)"] * 3
    assert [[row[index] for index in ratios] for row in table.rows] == [["–"] * 2, ["no change"] * 2, ["no change"] * 2]


def test_a_ratio_that_is_infinite_after_one_block_is_not_called_no_change():
    found = json.loads(json.dumps(made_analyses.subspaces()))
    for parts in found["models"][1]["blocks"][0]["change"]["snr_db"].values():
        parts.update(dict.fromkeys(parts))
    table = subspace_table(found)
    column = table.head.index("SNR agnostic (dB)")
    assert [row[column] for row in table.rows] == ["–", "inf", "6.00"]
    assert "The same hidden states" not in subspace_words(found)[0]


def test_angles_and_alignment_between_languages_are_told():
    found = json.loads(json.dumps(made_analyses.subspaces()))
    for block in found["models"][2]["blocks"]:
        block["change"]["angles"] = [15.0, 48.0]
        block["sentences"]["alignment"] = {"de-en": 0.4, "de-sw": 0.2, "en-sw": None}
    shows, _ = subspace_words(found)
    assert "the smallest principal angle is 5 to 15, the largest 8 to 48 degrees." in shows
    assert "over translations of the same sentences, 0.733 in dense and 0.300 to 0.733 pruned." in shows
    told = [dict(zip(subspace_table(found).head, row, strict=True)) for row in subspace_table(found).rows]
    assert [row["largest angle (°)"] for row in told] == ["–", "8.0", "48.0"]
    assert [row["alignment of languages"] for row in told] == ["0.733", "0.733", "0.300"]


def test_an_analysis_from_before_angles_of_halves_gives_a_section(tmp_path):
    found = json.loads(json.dumps(made_analyses.subspaces()))
    for model in found["models"]:
        for block in model["blocks"]:
            del block["stability_angles"]
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "subspaces.json").write_text(json.dumps(found))
    [section], problems = analysis_sections(read_analyses(tmp_path), tmp_path, "a-model")
    assert not problems
    [angles] = [of for of in section.figures if of.name == "angles"]
    assert "dotted" not in angles.caption


def test_a_model_alone_is_told_of_without_comparisons():
    found = made_analyses.subspaces()
    found["models"] = found["models"][:1]
    shows, _ = subspace_words(found)
    assert "signal-to-noise" not in shows
    alone = made_analyses.neurons()
    alone["neurons"] = {"dense": alone["neurons"]["dense"]}
    assert "overlaps with it" not in neuron_words(alone)[0]


def test_neurons_and_their_silence_are_told():
    found = made_analyses.neurons()
    shows, not_shown = neuron_words(found)
    assert shows.startswith("12 of 200 neurons of dense are specific")
    assert "several (German 4, English 4 and Swahili 4)" in shows
    assert "12 of them have a lower LAPE than any other neuron has in 95% of 99 random divisions" in shows
    assert "about 0.1 would be by chance (p = 0.03)." in shows
    assert "overlaps with it by 1.00 to 1.00" in shows
    assert "by +0.800 nats a token on average in dense (that of other languages by +0.050" in shows
    assert "as many other neurons, drawn once, its own by +0.010), and hurts the language itself, most of all" in shows
    assert "measurably beyond those others (p < 0.05 after Holm’s correction over languages, on 8 windows" in shows
    assert "for 3 of 3 languages (German, English and Swahili)" in shows
    assert shows.endswith("; likewise de · wanda +0.800 (+0.050; +0.010; 3 of 3 (German, English and Swahili)).")
    assert "6% of all neurons are chosen at most" in not_shown
    tables = neuron_tables(found)
    assert [len(table.rows) for table in tables] == [2, 6]
    assert tables[1].rows[0][2] == "+0.800 (+0.010)"
    assert "--silence does" in neuron_words(made_analyses.neurons(is_causal=False))[1]


def test_a_p_value_is_no_less_than_its_divisions_can_show():
    found = made_analyses.neurons()
    for below, p_value, words, cell in [
        (1, 0.01, "1 of them has a lower LAPE", "\u2264 0.01"),
        (2, 0.02, "2 of them have a lower LAPE", "0.02"),
    ]:
        found["neurons"]["dense"]["by_chance"] |= {"below": below, "p_value": p_value}
        shows, _ = neuron_words(found)
        assert words in shows
        assert ("(p \u2264 0.01, the least that 99 divisions can show)" in shows) == (below == 1)
        assert neuron_tables(found)[0].rows[0][4] == cell


def test_chance_as_earlier_versions_wrote_it_is_told_for_what_it_was():
    found = made_analyses.neurons()
    for of in found["neurons"].values():
        of["by_chance"] = {"lowest_lape": 1.0, "below": 12, "languages": {"de": 4, "en": 4, "sw": 4}}
    shows, _ = neuron_words(found)
    assert "no neuron of as low a LAPE as 12 of them; how many that would be by chance was not measured." in shows
    assert neuron_tables(found)[0].rows[0][:5] == ["dense", "12", "12", "\u2013", "\u2013"]


def test_a_first_model_that_is_pruned_is_not_called_dense():
    first = ("sw · wanda", {"languages": "sw", "method": "wanda", "pattern": "0.5", "seed": "seed 0"})
    found = json.loads(json.dumps(made_analyses.subspaces()))
    for also_dense in (False, True):
        found["models"][0] |= {"label": first[0], "pruned": first[1]}
        if also_dense:
            found["models"][1] |= {"label": "dense", "pruned": None}
        shows, not_shown = subspace_words(found)
        assert "subspace turns: its mean squared cosine to that of sw · wanda" in shows
        assert ("Over all prunings and blocks" in shows, "Over all other models" in shows) == (
            not also_dense,
            also_dense,
        )
        assert (
            "pruned hidden states" not in shows if also_dense else "of pruned hidden states with those of sw" in shows
        )
        assert "dense" not in shows + not_shown
    told = made_analyses.neurons()
    for part in ("neurons", "silencing"):
        told[part] = {label.replace("dense", first[0]): of for label, of in told[part].items()}
    assert "neurons of sw · wanda are specific" in neuron_words(told)[0]
    assert "dense" not in str((neuron_words(told), neuron_tables(told), subspace_table(found).head))


def test_a_language_without_neurons_is_silenced_nowhere():
    found = made_analyses.neurons()
    found["silencing"]["dense"]["sw"] = None
    found["silencing"]["de · wanda"] = dict.fromkeys(found["silencing"]["de · wanda"])
    assert neuron_words(found)[0].endswith("for 2 of 2 languages (German and English).")
    rows = neuron_tables(found)[1].rows
    assert rows[2] == ["dense · sw silenced", *["–"] * 5]
    assert rows[3][1:] == ["–"] * 5


@pytest.mark.parametrize("change", [0.0, -0.4])
def test_silence_that_harms_nobody_is_not_told_as_harm(change):
    found = made_analyses.neurons()
    nothing = {"value": change, "interval": [change - 0.1, change + 0.1], "p_value": 1.0}
    for effects in found["silencing"].values():
        for of in effects.values():
            of["beyond"] |= nothing
            for which in (of["own"], of["others"]):
                which["change"] = dict.fromkeys(which["change"], nothing)
    assert "on 8 windows of each), for 0 of 3 languages;" in neuron_words(found)[0]


def test_silence_is_judged_beyond_others_and_over_all_languages():
    found = made_analyses.neurons()
    effects = found["silencing"]["dense"]
    for p_values, hurt in [((0.01, 0.02, 0.04), "3 of 3"), ((0.01, 0.03, 0.04), "1 of 3 languages (German)")]:
        for of, p_value in zip(effects.values(), p_values, strict=True):
            of["beyond"]["p_value"] = p_value
        assert f"for {hurt}" in neuron_words(found)[0]
    # One window tells nothing of others, and earlier versions tested the change alone.
    effects["de"]["beyond"] |= {"p_value": None, "interval": None}
    assert "for 0 of 3 languages" in neuron_words(found)[0]
    for of in effects.values():
        del of["beyond"]
    shows = neuron_words(found)[0]
    assert "measurably (p < 0.05 after Holm\u2019s correction over languages), for 3 of 3 languages" in shows
    effects["de"]["own"]["change"]["de"]["p_value"] = 0.06
    assert "for 2 of 3 languages (English and Swahili)" in neuron_words(found)[0]


def test_a_language_that_gains_is_not_hurt_because_others_silence_helps_it_more():
    found = made_analyses.neurons()
    german = found["silencing"]["dense"]["de"]
    for code, change in german["own"]["change"].items():
        change |= {"value": -0.2 if code == "de" else -0.3, "p_value": 0.001}
    german["others"]["change"]["de"]["value"] = -0.6
    german["beyond"] |= {"value": 0.4, "p_value": 0.001}
    assert "for 2 of 3 languages (English and Swahili)" in neuron_words(found)[0]


def test_a_language_that_suffers_less_than_another_is_not_hurt_most_of_all():
    found = made_analyses.neurons()
    found["silencing"]["dense"]["de"]["own"]["change"]["sw"]["value"] = 0.9
    assert "for 2 of 3 languages (English and Swahili)" in neuron_words(found)[0]


def test_two_analyses_of_neurons_are_told_apart_and_the_untested_one_points_to_the_test(tmp_path):
    untested = made_analyses.neurons(is_causal=False)
    for name, result in [("neurons", untested), ("silencing/neurons", made_analyses.neurons())]:
        (tmp_path / "analysis" / name).mkdir(parents=True)
        (tmp_path / "analysis" / name / "neurons.json").write_text(json.dumps(result))
    (first, second), problems = analysis_sections(read_analyses(tmp_path), tmp_path, "a-model")
    assert not problems
    assert first.heading == "Neurons of single languages"
    assert second.heading == "Neurons of single languages, and what silencing them does"
    assert f"need it: that is tested in \u201c{second.heading}\u201d." in first.not_shown
    assert "not tested" not in first.not_shown
    assert second.not_shown == neuron_words(made_analyses.neurons())[1]


def test_analyses_of_one_kind_are_told_apart_by_their_size_or_place():
    small, large = {"models": [1], "languages": [1, 2]}, {"models": [1, 2], "languages": [1, 2, 3]}
    one, two = Told("subspaces", small, "analysis/a"), Told("subspaces", large, "analysis/b")
    assert headings([one]) == ["What languages share, and what tells them apart"]
    assert headings([one, two]) == [
        "What languages share, and what tells them apart (1 model, 2 languages)",
        "What languages share, and what tells them apart (2 models, 3 languages)",
    ]
    first, second = headings([one, one._replace(place="analysis/c")])
    assert first.endswith("(1 model, 2 languages) (analysis/a)")
    assert second.endswith("(1 model, 2 languages) (analysis/c)")


@pytest.mark.parametrize("text", ["{", "[]", '{"models": []}', '{"models": [{}], "notes": []}'])
def test_what_is_no_analysis_is_left_out_and_said(tmp_path, text):
    folder = tmp_path / "analysis" / "of-some"
    folder.mkdir(parents=True)
    (folder / "subspaces.json").write_text(text)
    (tmp_path / "analysis" / "neurons.json").write_text(json.dumps(made_analyses.neurons()))
    sections, problems = analysis_sections(read_analyses(tmp_path), tmp_path, "a-model")
    assert [section.name for section in sections] == ["analysis/neurons"]
    assert sections[0].source.startswith("Models: dense, de · wanda. Text: sample, 2,000 tokens or more of each of de")
    [problem] = problems
    assert "subspaces.json" in problem
    assert "analyse again" in problem


def damaged(**changes):
    found = made_analyses.subspaces()
    found["models"][1]["blocks"][0]["change"] |= changes
    return found


@pytest.mark.parametrize("result", [damaged(alignment={}), damaged(squared_cosine=float("nan"))])
def test_what_cannot_be_drawn_or_is_no_number_is_left_out(tmp_path, result):
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "subspaces.json").write_text(json.dumps(result))
    sections, [problem] = analysis_sections(read_analyses(tmp_path), tmp_path, "a-model")
    assert not sections
    assert "is not what jaxprune analyze subspaces writes" in problem


def test_what_all_prunings_share_is_told_though_their_names_leave_it_out(tmp_path):
    folder = tmp_path / "analysis" / "subspaces"
    folder.mkdir(parents=True)
    (folder / "subspaces.json").write_text(json.dumps(made_analyses.subspaces()))
    [section], _ = analysis_sections(read_analyses(tmp_path), tmp_path, "a-model")
    assert section.source.startswith("Models (pruned alike: wanda, 0.5, seed 0): dense, en · wanda, de · wanda. Text:")


def test_analyses_of_another_model_are_left_out_and_deep_folders_are_found(tmp_path):
    for name, kind, result in [
        ("first", "masks", made_analyses.masks(tmp_path / "runs")),
        ("second", "subspaces", {**made_analyses.subspaces()}),
    ]:
        folder = tmp_path / "analysis" / name / kind
        folder.mkdir(parents=True)
        (folder / f"{kind}.json").write_text(json.dumps(result))
    sections, problems = analysis_sections(read_analyses(tmp_path), tmp_path, "a-model")
    assert [section.name for section in sections] == ["analysis/first/masks", "analysis/second/subspaces"]
    assert not problems
    sections, problems = analysis_sections(read_analyses(tmp_path), tmp_path, "another")
    assert not sections
    assert all("is of a-model, and the study of another" in problem for problem in problems)
