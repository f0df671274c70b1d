"""Subspaces of hidden states: against NumPy in float64 on transformers' states, and on states with a known split."""

import numpy as np
import pytest
import torch

from jaxprune.analysis.lockstep import Lockstep
from jaxprune.analysis.lsar import split_languages
from jaxprune.analysis.subspaces import measure_block
from jaxprune.models import FAMILIES
from jaxprune.sharding import make_mesh
from tests.evaluation.test_snr import damaged, decibels, in_torch
from tests.models.reference import make_pair, random_tokens, record_modules
from tests.tiny import tiny_config

FLOAT32 = np.dtype("float32")
LEADING = 1
# Neither fills the batches that suit the other.
WINDOWS = {
    "de": random_tokens(13, count=5),
    "sw": random_tokens(13, count=9)[5:],
    "zh": random_tokens(13, count=12)[9:],
}


def measure(pair, *pruned, mesh=None, sentences=None, rank=2, windows=WINDOWS):
    """Returns what is measured of each block, a list of models each."""
    reads = [pair.params.__getitem__, *(params.__getitem__ for params in pruned)]
    flat = [tokens for of in (sentences or {}).values() for tokens in of]
    lockstep = Lockstep(
        reads,
        pair.model,
        windows,
        sentences=flat,
        num_leading=LEADING,
        mesh=make_mesh(mesh or {"data": 1, "model": 1}),
        dtype=FLOAT32,
    )
    done, blocks = [], []
    for _ in lockstep.blocks(done.append):
        vectors = []
        for of_model in lockstep.sentence_vectors():
            ends = np.cumsum([len(of) for of in sentences.values()])[:-1]
            vectors.append(dict(zip(sentences, np.split(of_model, ends), strict=True)))
        blocks.append(measure_block(lockstep.sweeps, list(windows), rank=rank, num_leading=LEADING, sentences=vectors))
    assert sum(done) == lockstep.total_work
    return blocks


def hidden_states(pair, params, windows=WINDOWS):
    """Returns transformers' states after each block by language, own tokens only, in float64."""
    in_torch(pair, params)
    records = {language: record_modules(pair, tokens) for language, tokens in windows.items()}
    return [
        {
            language: of[f"model.layers.{index}"].returned[:, LEADING:].astype(np.float64)
            for language, of in records.items()
        }
        for index in range(pair.model.num_blocks)
    ]


def debiased_alignment(x, y):
    """From kernels over tokens, where the project adds up outer products."""

    def hsic(a, b):
        a, b = a - np.diag(np.diag(a)), b - np.diag(np.diag(b))
        n = len(a)
        return np.sum(a * b) + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (a.sum(0) @ b.sum(0))

    a, b = x @ x.T, y @ y.T
    return hsic(a, b) / np.sqrt(hsic(a, a) * hsic(b, b))


def parts_of(specific_DR):
    """Returns the projections on either part."""
    specific_DD = specific_DR @ specific_DR.T
    return {"agnostic": np.eye(len(specific_DD)) - specific_DD, "specific": specific_DD}


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_equals_numpy_in_float64_on_the_states_of_transformers(model_type):
    pair = make_pair(tiny_config(model_type), dtype=torch.float64)
    pruned = damaged(pair.params)
    found = measure(pair, pruned)
    for index, (was, now) in enumerate(zip(hidden_states(pair, pair.params), hidden_states(pair, pruned), strict=True)):
        splits = [
            split_languages(np.stack([of.mean(axis=(0, 1)) for of in states.values()]), 2) for states in (was, now)
        ]
        specific = splits[0].specific_DR
        for k, (states, split) in enumerate(zip((was, now), splits, strict=True)):
            of_model = found[index][k]
            assert of_model.rank == 2
            for language, states_NTD in states.items():
                flat = states_NTD.reshape(-1, states_NTD.shape[-1])
                energy = np.mean(np.sum(flat**2, axis=1))
                assert of_model.energy[language] == pytest.approx(energy, rel=1e-4)
                along = np.mean(np.sum((flat @ split.specific_DR) ** 2, axis=1))
                assert of_model.specific_share[language] == pytest.approx(along / energy, rel=2e-3)
            centre = np.mean([of.mean(axis=(0, 1)) for of in states.values()], axis=0)
            every = np.concatenate([of.reshape(-1, of.shape[-1]) for of in states.values()])
            weights = np.concatenate([np.full(of[..., 0].size, 1 / of[..., 0].size) for of in states.values()])
            for part, project in parts_of(split.specific_DR).items():
                energy = weights @ np.sum((every @ project) ** 2, axis=1) / len(states)
                common = np.sum((centre @ project) ** 2) / energy
                assert of_model.common_share[part] == pytest.approx(common, rel=5e-3)
        assert found[index][0].change is None
        centres = [np.mean([of.mean(axis=(0, 1)) for of in states.values()], axis=0) for states in (was, now)]
        change = found[index][1].change
        cosines = np.linalg.svd(specific.T @ splits[1].specific_DR)[1]
        np.testing.assert_allclose(np.cos(np.radians(change.angles)), np.sort(cosines)[::-1], atol=2e-4)
        assert change.squared_cosine == pytest.approx(np.mean(cosines**2), abs=2e-4)
        for language in WINDOWS:
            a, b = (states[language].reshape(-1, states[language].shape[-1]) for states in (was, now))
            assert change.alignment[language] == pytest.approx(debiased_alignment(a, b), abs=2e-4)
            snr = change.snr_db[language]
            assert snr["whole"] == pytest.approx(decibels(a, b), abs=1e-3)
            assert snr["specific"] == pytest.approx(decibels(a @ specific, b @ specific), abs=0.02)
            projections = parts_of(specific)
            assert snr["agnostic"] == pytest.approx(
                decibels(a @ projections["agnostic"], b @ projections["agnostic"]), abs=5e-3
            )
            a, b = a - centres[0], b - centres[1]
            snr = change.centred_snr_db[language]
            assert snr["whole"] == pytest.approx(decibels(a, b), abs=2e-3)
            for part, project in projections.items():
                assert snr[part] == pytest.approx(decibels(a @ project, b @ project), abs=0.03)


@pytest.mark.parametrize("mesh", [{"data": 2, "model": 1}, {"data": 1, "model": 2}, {"data": 4, "model": 2}])
def test_other_meshes_find_the_same(mesh):
    pair = make_pair(tiny_config("llama"))
    pruned = damaged(pair.params)
    for one, other in zip(measure(pair, pruned), measure(pair, pruned, mesh=mesh), strict=True):
        assert other[1].change.squared_cosine == pytest.approx(one[1].change.squared_cosine, abs=1e-4)
        assert other[0].specific_share == pytest.approx(one[0].specific_share, rel=1e-3)
        for language in WINDOWS:
            assert other[1].change.alignment[language] == pytest.approx(one[1].change.alignment[language], abs=1e-4)
            assert other[1].change.snr_db[language] == pytest.approx(one[1].change.snr_db[language], abs=0.01)


def test_a_model_against_itself_has_not_changed_at_all():
    pair = make_pair(tiny_config("qwen2"))
    copy = {section: {path: value.copy() for path, value in of.items()} for section, of in pair.params.items()}
    for dense, same in measure(pair, copy):
        assert same.energy == dense.energy
        assert same.specific_share == dense.specific_share
        assert same.stability == dense.stability
        assert same.change.squared_cosine == pytest.approx(1, abs=1e-12)
        assert max(same.change.angles) < 1e-5
        assert same.change.shared_angle == 0
        for language in WINDOWS:
            assert set(same.change.snr_db[language].values()) == {np.inf}
            assert set(same.change.centred_snr_db[language].values()) == {np.inf}
            # Its two models' sums are added up in steps of their own.
            assert same.change.alignment[language] == pytest.approx(1, abs=1e-6)


def test_halves_of_one_window_do_not_exist():
    pair = make_pair(tiny_config("llama"))
    windows = {"de": random_tokens(13, count=1), "sw": random_tokens(14, count=1)[:, :13]}
    for [of_model] in measure(pair, rank=1, windows=windows):
        assert of_model.stability is None


def test_halves_are_every_other_window():
    pair = make_pair(tiny_config("llama"))
    states = hidden_states(pair, pair.params)
    for [of_model], of_block in zip(measure(pair), states, strict=True):
        halves = [
            split_languages(np.stack([of[half::2].mean(axis=(0, 1)) for of in of_block.values()]), 2).specific_DR
            for half in (0, 1)
        ]
        assert of_model.stability == pytest.approx(np.sum((halves[0].T @ halves[1]) ** 2) / 2, abs=1e-3)


def test_sentences_go_through_with_the_windows():
    pair = make_pair(tiny_config("gemma3_text"))
    sentences = {
        language: [tokens[: 5 + index % 4] for index, tokens in enumerate(random_tokens(9, count=12) + shift)]
        for language, shift in (("de", 0), ("sw", 1), ("zh", 2))
    }
    for [of_model] in measure(pair, sentences=sentences):
        assert list(of_model.sentences.retrieval["whole"]) == ["de", "sw", "zh"]
        assert list(of_model.sentences.alignment) == [("de", "sw"), ("de", "zh"), ("sw", "zh")]
