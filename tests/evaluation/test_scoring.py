"""Log-likelihoods of continuations against transformers' model, each alone and in full."""

import functools
import itertools

import numpy as np
import pytest
import scipy.special

from jaxprune.errors import RequestError
from jaxprune.evaluation import packing, trees
from jaxprune.evaluation import scoring as subject
from jaxprune.evaluation.scoring import Question, score_continuations, total_work
from jaxprune.models import FAMILIES, build_model
from jaxprune.sharding import make_mesh
from tests.models.reference import make_pair, their_logits
from tests.tiny import VOCAB_SIZE, tiny_config, tiny_params

ONE_DEVICE = {"data": 1, "model": 1}
CHANGES = {"gemma3_text": {"final_logit_softcapping": 1.7}}


def tokens(length, seed=0):
    return np.random.default_rng([length, seed]).integers(3, VOCAB_SIZE, length).astype(np.int32)


def question(context, *lengths, shared=0):
    """A context of so many tokens, and continuations that begin alike and go on apart."""
    alike = tokens(shared, seed=9)
    return Question(
        tokens(context), tuple(np.concatenate([alike, tokens(n, seed=i)]) for i, n in enumerate(lengths, 1))
    )


QUESTIONS = [
    question(1, 1),
    question(7, 1, 1, 1, 1),
    question(23, 3, 9, 5),  # gemma's window of 5 reaches from the continuation into the context, or not
    question(3, 40),
    question(1, *range(2, 22)),
    question(50, 2, 1),
    question(9, 0, 1, 6, shared=4),  # the first is how all of them begin
    Question(tokens(5), ()),
    question(12, 30, 2, shared=20),
]


@functools.cache
def pair_of(model_type):
    return make_pair(tiny_config(model_type, **CHANGES.get(model_type, {})))


@functools.cache
def wanted(model_type):
    """Nats, and whether each token is the likeliest, from transformers, one continuation at a time."""
    scores = []
    for asked in QUESTIONS:
        scores.append([])
        for continuation in asked.continuations:
            whole = np.concatenate([asked.context, continuation])
            logits = their_logits(pair_of(model_type), whole[None])[0, len(asked.context) - 1 : -1]
            log_p = scipy.special.log_softmax(logits.astype(np.float64), axis=-1)
            nats = log_p[np.arange(len(continuation)), continuation].sum()
            scores[-1].append((nats, bool((logits.argmax(axis=-1) == continuation).all())))
    return scores


def score(model_type, questions=QUESTIONS, *, sizes=ONE_DEVICE, dtype="float32", **settings):
    pair = pair_of(model_type)
    return score_continuations(
        pair.params.__getitem__, pair.model, questions, mesh=make_mesh(sizes), dtype=dtype, **settings
    )


def assert_equal(found, wanted, **tolerance):
    assert [len(of) for of in found] == [len(of) for of in wanted]
    for ours, theirs in zip(itertools.chain(*found), itertools.chain(*wanted), strict=True):
        assert ours[0] == pytest.approx(theirs[0], **tolerance)
        assert ours[1] == theirs[1]


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_equals_transformers(model_type):
    """Of unequal contexts, continuations of one token, of many, of none shared and of some, and many of them."""
    seen = []
    assert_equal(score(model_type, on_tokens=seen.append), wanted(model_type), rel=1e-5)
    assert sum(seen) == total_work(pair_of(model_type).model, QUESTIONS)


@pytest.mark.parametrize(("sizes", "compiling"), [({"data": 4, "model": 2}, 1e6), ({"data": 3, "model": 1}, 1e9)])
def test_meshes_and_buckets_change_nothing(sizes, compiling, monkeypatch):
    """Several shapes or one; batches in which some devices have nothing to do; the head in several pieces."""
    made = []
    monkeypatch.setattr(subject, "_COMPILING", {"cpu": compiling})
    monkeypatch.setattr(subject, "_UNEMBEDDED", 3)
    monkeypatch.setattr(
        subject, "make_batches", lambda *args, **kw: made.append(args) or packing.make_batches(*args, **kw)
    )
    assert_equal(score("gemma3_text", sizes=sizes), wanted("gemma3_text"), rel=1e-5)
    assert len(made) == (3 if compiling == 1e6 else 1)


def test_questions_with_more_branches_than_memory_come_in_parts(monkeypatch):
    monkeypatch.setattr(trees, "MAX_TOKENS", 64)
    assert len(list(trees.grow(0, QUESTIONS[4], 0, num_heads=6))) > 1
    seen = []
    assert_equal(score("llama", on_tokens=seen.append, host_bytes=0), wanted("llama"), rel=1e-5)
    assert sum(seen) == total_work(pair_of("llama").model, QUESTIONS)


def test_a_greedy_continuation_is_told_from_one_that_is_not():
    """Made by taking the likeliest token, and with another one at its end."""
    greedy = tokens(7)
    for _ in range(6):
        greedy = np.append(greedy, their_logits(pair_of("llama"), greedy[None])[0, -1].argmax()).astype(np.int32)
    spoilt = greedy.copy()
    spoilt[-1] = (spoilt[-1] + 1) % VOCAB_SIZE
    asked = Question(greedy[:7], (greedy[7:], spoilt[7:], greedy[7:9], greedy[7:8]))
    assert [of.is_greedy for of in score("llama", [asked])[0]] == [True, False, True, True]


def test_what_is_shared_is_computed_once():
    """A context once for all continuations, how these begin once too, and the same question or choice once."""
    model = pair_of("llama").model

    def work(*questions):
        return total_work(model, questions)

    first, other = question(30, 4, 7), question(31, 4, 7)
    assert work(first) == (30 + 3 + 6) * model.num_blocks + 4 + 7
    assert work(question(30, 4, 7, shared=5)) == (30 + 5 + 3 + 6) * model.num_blocks + 2 * 5 + 4 + 7
    assert work(question(30, 1, 1)) == 30 * model.num_blocks + 2
    assert work(first, other, first) == work(first) + work(other)
    assert work(Question(first.context, first.continuations * 3)) == work(first)
    assert work(Question(first.context, ())) == 0
    twice = Question(first.context, (*first.continuations, first.continuations[0]))
    (once, *_), (again,) = score("llama", [first]), score("llama", [twice])
    assert again[0] == again[2]
    assert [of.nats for of in again[:2]] == pytest.approx([of.nats for of in once])


def test_hidden_states_are_few_and_may_lie_in_a_file():
    assert score("cohere", host_bytes=0) == score("cohere")


def test_bfloat16_is_near_float32():
    for found, (nats, _) in zip(
        itertools.chain(*score("gemma3_text", dtype="bfloat16")),
        itertools.chain(*wanted("gemma3_text")),
        strict=True,
    ):
        assert found.nats == pytest.approx(nats, rel=0.03)


def test_nothing_is_asked():
    assert score("llama", []) == []
    assert score("llama", [Question(tokens(3), ())]) == [()]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Question(tokens(0), (tokens(1),)), "question 2: the context has no tokens"),
        (Question(tokens(1), (tokens(1), tokens(0))), "question 2: continuation 2 has no tokens"),
        (
            Question(np.asarray([VOCAB_SIZE]), ()),
            rf"question 2: the context: token id {VOCAB_SIZE} \(position \d+\) is outside .* {VOCAB_SIZE} ids",
        ),
        (Question(tokens(1), (np.asarray([5, -1]),)), r"question 2: continuation 1: token id -1 \(position 1\)"),
    ],
)
def test_refuses_what_cannot_be_scored(asked, message):
    with pytest.raises(RequestError, match=message):
        score("llama", [question(3, 1), asked])


@pytest.mark.parametrize("sizes", [ONE_DEVICE, {"data": 2, "model": 1}])
def test_what_is_no_number_is_told_with_the_question(sizes):
    """The third alone has a token without an embedding; so has what fills batches up, and that is no question."""
    config = tiny_config("llama")
    params = tiny_params(config, seed=0)
    questions = [
        Question(np.asarray([7, token]), (np.asarray([9, 10]), np.asarray([11, 12]))) for token in (8, 6, 5, 4)
    ]

    def run():
        model = build_model(config)
        return score_continuations(params.__getitem__, model, questions, mesh=make_mesh(sizes), dtype="float32")

    params["embed"]["tokens/embedding"][[0, 5]] = np.nan
    with pytest.raises(
        RequestError, match="question 3: the output of blocks/0 holds NaN or infinite values in float32"
    ):
        run()
    params["embed"]["tokens/embedding"][5] = 1.0
    assert len(run()) == 4
    params["head"]["output/kernel"][:, 3] = np.nan
    with pytest.raises(RequestError, match="question 1: the distribution of what comes next holds NaN"):
        run()
