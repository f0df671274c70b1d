"""LAPE against the published code's steps in PyTorch; planted neurons are found, and none where none were planted."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from jaxprune.analysis.gates import GateCounts
from jaxprune.analysis.lape import Thresholds, activation_probability, kth_smallest, language_entropy, select
from jaxprune.analysis.mixtures import draw_divisions
from jaxprune.analysis.neuron_sets import (
    NUM_BINS,
    QUANTILES,
    analyze_counts,
    distribution_distance,
    select_counted,
    set_overlap,
)
from jaxprune.analysis.neurons import as_json
from jaxprune.errors import RequestError
from jaxprune.microbatches import Microbatch
from jaxprune.models import build_model
from tests.tiny import tiny_config

LANGUAGES = ("de", "en", "sw")
NUM_BLOCKS, NUM_NEURONS = 4, 500
MODEL = build_model(tiny_config("llama", num_hidden_layers=NUM_BLOCKS, intermediate_size=NUM_NEURONS))
WINDOWS, LENGTH = 12, 501


def published(probability_LNF, filter_rate=0.95, top_rate=0.01, bar_rate=0.95):
    """Returns LAPE of all neurons and each language's set, by the steps of the official code."""
    p = torch.tensor(np.moveaxis(probability_LNF, 0, -1))
    normed = p / p.sum(dim=-1, keepdim=True)
    normed[torch.isnan(normed)] = 0
    entropy = -torch.sum(normed * torch.where(normed > 0, normed.log(), 0), dim=-1)
    values = entropy.clone()
    flat = p.flatten()
    entropy[(p > flat.kthvalue(round(len(flat) * filter_rate)).values).sum(dim=-1) == 0] = torch.inf
    _, chosen = entropy.flatten().topk(round(entropy.numel() * top_rate), largest=False)
    bar = flat.kthvalue(round(len(flat) * bar_rate)).values
    sets = [{int(index) for index in chosen if p.reshape(-1, p.shape[-1])[index, k] > bar} for k in range(p.shape[-1])]
    return values.numpy(), sets


def random_probabilities(seed):
    rng = np.random.default_rng(seed)
    p = rng.beta(0.4, 2, (3, NUM_BLOCKS, NUM_NEURONS))
    p[:, 1, :40] = 0
    p[0, 2, :40] = 0
    return p


@pytest.mark.parametrize("rates", [(0.95, 0.01, 0.95), (0.9, 0.05, 0.97), (0.5, 0.2, 0.8)])
def test_it_is_what_was_published(rates):
    p = random_probabilities(0)
    found = select(p, Thresholds(*rates))
    entropy, sets = published(p, *rates)
    never = (p == 0).all(axis=0)
    assert np.isnan(found.entropy_NF[never]).all()
    np.testing.assert_allclose(found.entropy_NF[~never], entropy[~never], rtol=1e-12, atol=1e-15)
    for of_NF, wanted in zip(found.members_LNF, sets, strict=True):
        assert set(np.flatnonzero(of_NF).tolist()) == wanted
        assert wanted
    assert found.num_chosen == round(2000 * rates[1])


def test_entropy_of_known_neurons():
    p = np.array([[0.5, 0.2, 0.0, 0.1], [0.0, 0.2, 0.0, 0.1], [0.0, 0.2, 0.0, 0.2]])[:, None]
    found = language_entropy(p)[0]
    assert found[0] == 0
    assert found[1] == pytest.approx(math.log(3), abs=1e-15)
    assert found[1] <= math.log(3)
    assert math.isnan(found[2])
    assert found[3] == pytest.approx(scipy.stats.entropy([0.25, 0.25, 0.5]))


def test_probabilities_are_of_each_languages_own_tokens():
    opened = np.array([[[5, 0]], [[5, 10]]])
    np.testing.assert_array_equal(activation_probability(opened, np.array([[10], [20]])), [[[0.5, 0]], [[0.25, 0.5]]])


def test_the_quantile_is_the_kth_smallest():
    values = np.random.default_rng(0).permutation(100).astype(float)
    assert (kth_smallest(values, 0.95), kth_smallest(values, 0.0), kth_smallest(values, 0.994)) == (94, 0, 98)


def test_where_few_pass_the_filter_no_others_are_chosen():
    p = np.full((2, 1, 100), 0.5)
    p[0, 0, 7] = 0.9
    found = select(p, Thresholds(top_rate=0.1))
    assert found.num_chosen == 1
    assert np.argwhere(found.members_LNF).tolist() == [[0, 0, 7]]
    none = select(np.full((2, 1, 100), 0.5))
    assert (none.num_chosen, none.lape, none.members_LNF.any()) == (0, None, False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"filter_rate": 1.0}, "--filter-rate is 1.0; give 0 or more and less than 1 (published: 0.95)."),
        ({"activation_bar": -0.1}, "--activation-bar is -0.1"),
        ({"activation_bar": math.nan}, "--activation-bar is nan"),
        ({"top_rate": 0.0}, "--top-rate is 0.0; give more than 0 and 1 at most (published: 0.01)."),
    ],
)
def test_thresholds_are_shares(changes, said):
    with pytest.raises(RequestError) as error:
        Thresholds(**changes)
    assert said in str(error.value)


def counted(probability_LNF, *, seed=0, windows=WINDOWS, alike=None):
    """Returns counts of random tokens for which gates are open with these probabilities.

    Or with others in each window, beta-distributed around them: the more alike, the fewer.
    """
    rng = np.random.default_rng(seed)
    counts = GateCounts(LANGUAGES, MODEL, leading=1)
    tokens = np.zeros((windows, LENGTH), np.int32)
    for language, of_language in zip(LANGUAGES, probability_LNF, strict=True):
        batch = Microbatch(tokens, np.ones(windows, np.float32), language)
        for block, p in enumerate(of_language):
            if alike is not None:
                p = rng.beta(alike * p, alike * (1 - p), (windows, len(p)))
            counts.accumulate(block, batch, rng.binomial(LENGTH - 1, p, (windows, NUM_NEURONS)).astype(np.int32))
    return counts


def plain(seed=0):
    """Returns probabilities that are the same in all languages, and not the same for all neurons."""
    p = np.random.default_rng(seed).uniform(0.05, 0.4, (NUM_BLOCKS, NUM_NEURONS))
    return np.stack([p] * 3)


PLANTED = {"de": [(0, 3), (0, 4), (3, 9)], "en": [(1, 5), (1, 6), (2, 250)], "sw": [(0, 499), (2, 0), (3, 8)]}


def planted():
    p = plain()
    for index, language in enumerate(LANGUAGES):
        for block, neuron in PLANTED[language]:
            p[:, block, neuron] = 0.02
            p[index, block, neuron] = 0.9
    # Active in two languages of three: it belongs to both, and is less specific.
    p[:, 1, 100] = (0.9, 0.9, 0.02)
    return p


def test_planted_neurons_are_found_and_no_others():
    found = analyze_counts({"m": counted(planted())}, Thresholds(top_rate=10 / 2000))["m"]
    for language, wanted in PLANTED.items():
        both = [(1, 100)] if language != "sw" else []
        of_language = found["languages"][language]
        neurons = [(block, neuron) for block, of_block in enumerate(of_language["neurons"]) for neuron in of_block]
        assert neurons == sorted(wanted + both)
        assert of_language["size"] == sum(of_language["by_block"]) == len(neurons)
    assert (found["chosen"], found["specific"], found["in_all_languages"]) == (10, 10, 0)
    assert found["by_chance"]["below"] == 10
    assert found["by_chance"]["p_value"] == 0.01
    assert found["by_chance"]["languages"] == {"de": 4, "en": 4, "sw": 3}
    de_en, de_sw, en_sw = found["between_languages"]
    assert (de_en["a"], de_en["b"], de_en["iou"]) == ("de", "en", 1 / 7)
    assert de_sw["iou"] == en_sw["iou"] == 0
    assert de_en["chance"] < 0.01


def test_where_languages_do_not_differ_nothing_is_below_chance():
    """The published choice takes 1 % of the neurons of whatever it is given; chance says what they are worth.

    However unlike windows are: here more than neurons are.
    """
    found = [analyze_counts({"m": counted(plain(), seed=seed, alike=5.0)})["m"] for seed in range(20)]
    assert {of["chosen"] for of in found} == {20}
    chances = [of["by_chance"] for of in found]
    p_values = np.array([of["p_value"] for of in chances])
    # Of 20 p-values at most so many are this low, in 99 of 100 such samples.
    for level in (0.05, 0.2, 0.5, 0.8):
        assert np.sum(p_values <= level) <= scipy.stats.binom.ppf(0.99, 20, level)
    # A test that never finds anything would pass all that.
    assert np.sum(p_values <= 0.8) >= scipy.stats.binom.ppf(0.01, 20, 0.8)
    assert [of["below"] > 0 for of in chances] == (p_values <= 0.05).tolist()
    assert 0.05 <= np.mean([of["expected"] for of in chances]) < 0.5


def test_chance_is_westfall_and_youngs_step_down():
    """Against their adjusted p-values, a neuron at a time, with neurons that only the later steps find."""
    p = plain()
    # Active in one language, and others twice as active there as elsewhere.
    p[:, 0, :3] = 0.01 + 0.9 * np.eye(3)
    p[:, 1, :6] = (np.tile(np.eye(3), 2) + 1) * 0.35
    counts = counted(p, alike=20.0)
    selection = select_counted(counts)
    order = np.argsort(np.where(selection.is_specific, selection.entropy_NF, np.inf), axis=None)
    own = np.sort(selection.entropy_NF[selection.is_specific])
    mixture_RLG = draw_divisions(counts.tokens_LGN[:, :, 0], num=99)
    p_RLM = np.stack(
        [
            [
                counts.opened_LGNF[of_division == mixture].sum(axis=0, dtype=np.int64).ravel()
                / counts.tokens_LGN[of_division == mixture, 0].sum()
                for mixture in range(3)
            ]
            for of_division in mixture_RLG
        ]
    )
    entropy_RM = scipy.stats.entropy(p_RLM, axis=1)
    is_counted_RM = selection.is_kept_NF.ravel() | (p_RLM > selection.filter).any(axis=1)
    sorted_RM = np.where(is_counted_RM, entropy_RM, np.inf)[:, order]
    adjusted = [(1 + np.sum(sorted_RM[:, k:].min(axis=1) <= lape)) / 100 for k, lape in enumerate(own)]
    steps = next(k for k, value in enumerate(adjusted) if value > 0.05)
    found = analyze_counts({"m": counts})["m"]["by_chance"]
    assert (found["below"], found["p_value"]) == (steps, adjusted[0])
    # In one step there would be fewer.
    assert 3 <= np.sum(own < np.sort(sorted_RM.min(axis=1))[4]) < steps
    assert found["level"] == pytest.approx(np.sort(sorted_RM[:, steps:].min(axis=1))[4], abs=1e-8)


def test_the_same_text_in_every_language_has_no_specific_neuron():
    counts = GateCounts(LANGUAGES, MODEL)
    rng = np.random.default_rng(0)
    tokens = np.zeros((WINDOWS, LENGTH), np.int32)
    for block in range(NUM_BLOCKS):
        opened = rng.binomial(LENGTH, plain()[0, block], (WINDOWS, NUM_NEURONS)).astype(np.int32)
        for language in LANGUAGES:
            counts.accumulate(block, Microbatch(tokens, np.ones(WINDOWS, np.float32), language), opened)
    found = analyze_counts({"m": counts})["m"]
    assert found["by_chance"]["below"] == 0
    assert found["by_chance"]["p_value"] == 1
    assert found["in_all_languages"] == found["specific"]
    assert all(pair["iou"] == 1 for pair in found["between_languages"])
    assert found["lape"]["quantiles"] == pytest.approx([math.log(3)] * len(QUANTILES))


def test_halves_of_the_text_agree_on_what_is_there_and_on_nothing_else():
    thresholds = Thresholds(top_rate=10 / 2000)
    found = analyze_counts({"m": counted(planted())}, thresholds)["m"]["halves"]
    assert found["specific"]["iou"] == 1
    assert {language: of["iou"] for language, of in found["languages"].items()} == dict.fromkeys(LANGUAGES, 1)
    nothing = analyze_counts({"m": counted(plain(), alike=5.0)}, thresholds)["m"]["halves"]
    assert nothing["specific"]["iou"] < 0.2
    assert nothing["lape_distance"] < 0.1


def test_halves_are_every_other_window():
    """Windows that alternate between two kinds of text: one has the planted neurons, the other has other ones."""
    shifted = np.roll(planted(), 50, axis=2)
    counts = GateCounts(LANGUAGES, MODEL)
    for block in range(NUM_BLOCKS):
        for index, language in enumerate(LANGUAGES):
            kinds_2F = np.stack([planted()[index, block], shifted[index, block]])
            opened = np.rint(LENGTH * np.tile(kinds_2F, (WINDOWS // 2, 1))).astype(np.int32)
            tokens = np.zeros((WINDOWS, LENGTH), np.int32)
            counts.accumulate(block, Microbatch(tokens, np.ones(WINDOWS, np.float32), language), opened)
    found = analyze_counts({"m": counts}, Thresholds(top_rate=10 / 2000))["m"]["halves"]
    assert found["specific"]["iou"] == 0
    assert all(of["became"] == of["ceased"] > 0 for of in found["languages"].values())


def test_one_window_has_no_halves():
    assert analyze_counts({"m": counted(planted(), windows=1)})["m"]["halves"] is None


def test_too_few_windows_say_nothing_of_chance():
    found = as_json({"m": counted(planted(), windows=3)}, Thresholds(), {}, length=LENGTH)
    assert found["neurons"]["m"]["by_chance"] is None
    enough = as_json({"m": counted(planted(), windows=4)}, Thresholds(), {}, length=LENGTH)
    assert enough["neurons"]["m"]["by_chance"]["below"] > 0
    assert any("by chance is not known" in note and "--windows" in note for note in found["notes"])


def test_a_top_rate_of_less_than_one_neuron_is_told():
    found = as_json({"m": counted(planted())}, Thresholds(top_rate=0.0002), {}, length=LENGTH)
    assert found["neurons"]["m"]["chosen"] == found["neurons"]["m"]["by_chance"]["below"] == 0
    told = "--top-rate 0.0002 of 2,000 neurons is no neuron, so none is chosen; give 0.0005 or more."
    assert told in found["notes"]
    enough = as_json({"m": counted(planted())}, Thresholds(top_rate=0.0005), {}, length=LENGTH)
    assert enough["neurons"]["m"]["chosen"] == 1
    assert not any("--top-rate" in note for note in enough["notes"])


def test_a_model_that_lost_neurons_is_told_from_the_first():
    was = planted()
    pruned = was.copy()
    # German loses one neuron of its own, which all share now, and gains another.
    pruned[:, 0, 3] = 0.9
    pruned[:, 3, 77] = (0.9, 0.02, 0.02)
    found = analyze_counts(
        {"dense": counted(was), "same": counted(was), "pruned": counted(pruned)}, Thresholds(top_rate=10 / 2000)
    )
    assert found["dense"]["against_first"] is None
    same = found["same"].pop("against_first")
    found["dense"].pop("against_first")
    assert found["same"] == found["dense"]
    assert same["lape_distance"] == same["lape_median_shift"] == 0
    assert all(of["iou"] == 1 and of["became"] == of["ceased"] == 0 for of in same["languages"].values())
    shift = found["pruned"]["against_first"]
    assert shift["languages"]["de"] == {"iou": 3 / 5, "chance": pytest.approx(0.01, abs=0.01), "became": 1, "ceased": 1}
    assert shift["languages"]["sw"]["iou"] == 1
    assert (shift["specific"]["became"], shift["specific"]["ceased"]) == (1, 1)
    assert shift["lape_distance"] > 0


def test_the_histogram_has_every_neuron_that_is_ever_active():
    p = planted()
    p[:, 0, :50] = 0
    found = as_json({"m": counted(p)}, Thresholds(), {}, length=LENGTH)
    lape = found["neurons"]["m"]["lape"]
    assert (lape["never_active"], lape["neurons"]) == (50, 1950)
    assert sum(lape["histogram"]) == 1950
    assert len(lape["histogram"]) == NUM_BINS
    assert found["lape"]["edges"][0] == 0
    assert found["lape"]["edges"][-1] == found["lape"]["highest"] == math.log(3)
    assert lape["quantiles"] == sorted(lape["quantiles"])
    assert found["languages"]["de"] == {"tokens": WINDOWS * (LENGTH - 1), "windows": WINDOWS}


def test_a_model_in_which_nothing_is_ever_active():
    found = as_json({"a": counted(plain()), "b": counted(plain() * 0)}, Thresholds(), {}, length=LENGTH)
    dead = found["neurons"]["b"]
    assert (dead["specific"], dead["lape"]["quantiles"], dead["lape"]["never_active"]) == (0, None, 2000)
    assert dead["against_first"]["lape_distance"] is None
    assert dead["against_first"]["specific"]["ceased"] == found["neurons"]["a"]["specific"]
    assert dead["between_languages"][0]["iou"] is None
    assert "b: 0 neurons pass the filter, of 20 that were to be chosen." in found["notes"]


def test_distance_is_kolmogorov_and_smirnovs():
    rng = np.random.default_rng(0)
    for a, b in ((rng.random(50), rng.random(70) ** 2), (rng.integers(0, 5, 40) / 4, rng.integers(0, 4, 30) / 4)):
        assert distribution_distance(a, b) == pytest.approx(scipy.stats.ks_2samp(a, b).statistic, abs=1e-15)


def test_chance_is_that_of_sets_drawn_within_blocks():
    rng = np.random.default_rng(0)
    sizes_a, sizes_b = (300, 20, 5), (200, 60, 1)

    def draw(sizes):
        drawn = np.zeros((3, 500), bool)
        for of_block, size in zip(drawn, sizes, strict=True):
            of_block[rng.permutation(500)[:size]] = True
        return drawn

    found = [set_overlap(draw(sizes_a), draw(sizes_b)) for _ in range(200)]
    assert len({of["chance"] for of in found}) == 1
    assert np.mean([of["iou"] for of in found]) == pytest.approx(found[0]["chance"], abs=0.004)
