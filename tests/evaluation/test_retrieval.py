"""Vectors of sentences against transformers' hidden states, and the search for the nearest."""

import numpy as np
import pytest
import torch
import transformers

from jaxprune.checkpoints import open_checkpoint
from jaxprune.errors import RequestError
from jaxprune.evaluation.retrieval import default_block, nearest_is_own, sentence_vectors, total_work
from jaxprune.sharding import make_mesh
from tests.tiny import write_tiny_checkpoint

LENGTHS = [3, 40, 33, 17, 2, 48, 31, 32]


@pytest.fixture(scope="module")
def sentences():
    rng = np.random.default_rng(0)
    return [np.concatenate([[2], rng.integers(3, 390, length - 1)]).astype(np.int32) for length in LENGTHS]


@pytest.mark.parametrize(
    ("model_type", "sizes"), [("llama", {"data": 1, "model": 1}), ("gemma3_text", {"data": 2, "model": 2})]
)
def test_vectors_are_means_of_hidden_states(tmp_path, sentences, model_type, sizes):
    write_tiny_checkpoint(tmp_path, model_type, seed=1, num_hidden_layers=3)
    checkpoint = open_checkpoint(str(tmp_path))
    done = []
    vectors_ND = sentence_vectors(
        checkpoint.parameters,
        checkpoint.model,
        sentences,
        num_leading=1,
        block=2,
        mesh=make_mesh(sizes),
        dtype=np.dtype("float32"),
        on_tokens=done.append,
    )
    assert sum(done) == total_work(sentences, 1, 2, mesh=make_mesh(sizes))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    for tokens, vector in zip(sentences, vectors_ND, strict=True):
        with torch.no_grad():
            states = theirs(torch.tensor(tokens[None].astype(np.int64)), output_hidden_states=True).hidden_states[2]
        expected = states[0, 1:].double().mean(dim=0).numpy()
        np.testing.assert_allclose(vector, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_requests_that_cannot_be_met(tmp_path, sentences):
    write_tiny_checkpoint(tmp_path, "llama")
    checkpoint = open_checkpoint(str(tmp_path))
    assert default_block(checkpoint.model) == 1
    settings = {"mesh": make_mesh({"data": 1, "model": 1}), "dtype": np.dtype("float32")}
    for block, of, said in ((3, sentences, "has 2 blocks"), (1, [*sentences, sentences[0][:1]], "sentence 9 has no")):
        with pytest.raises(RequestError, match=said):
            sentence_vectors(checkpoint.parameters, checkpoint.model, of, num_leading=1, block=block, **settings)


def test_the_nearest_by_cosine():
    targets = np.asarray([[1, 0], [0, 1], [1, 1]], np.float32)
    sources = np.asarray([[9, 1], [3, 0.1], [2, 2]], np.float32)
    np.testing.assert_array_equal(nearest_is_own(sources, targets, centred=False), [1, 0, 1])


def test_of_equals_each_is_a_guess():
    targets = np.asarray([[1, 0], [1, 0], [0, 1], [0, 0]], np.float32)
    np.testing.assert_allclose(nearest_is_own(targets[[0, 1, 2, 2]], targets, centred=False), [0.5, 0.5, 1, 0])


def test_centring_takes_away_what_a_language_has_in_common():
    rng = np.random.default_rng(0)
    content = rng.standard_normal((30, 8)).astype(np.float32)
    # Each side in a narrow cone of its own, in which the own noise decides what is near by the plain cosine.
    sources = content + 100 * np.eye(8, dtype=np.float32)[0]
    targets = content * 0.5 + 100 * np.eye(8, dtype=np.float32)[1]
    assert nearest_is_own(sources, targets, centred=True).mean() == 1
    assert nearest_is_own(sources, targets, centred=False).mean() < 0.5
    centred = [(side - side.mean(axis=0)).astype(np.float64) for side in (sources, targets)]
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in centred]
    expected = (unit[0] @ unit[1].T).argmax(axis=1) == np.arange(30)
    np.testing.assert_array_equal(nearest_is_own(sources, targets, centred=True), expected)
