"""Batches of trees: nothing lost, nothing twice, and few shapes without much that only fills."""

import numpy as np
import pytest

from jaxprune.evaluation import packing
from jaxprune.evaluation.packing import cut_chunks, make_batches, sort_into_buckets
from jaxprune.evaluation.trees import Question, grow


def make_trees(count, *, seed=0, choices=(1, 6), context=(1, 90), continuation=(1, 40)):
    rng = np.random.default_rng(seed)

    def draw(low, high):
        return rng.integers(1, 1000, rng.integers(low, high)).astype(np.int32)

    trees, slots = [], 0
    for index in range(count):
        question = Question(draw(*context), tuple(draw(*continuation) for _ in range(rng.integers(*choices))))
        trees += grow(index, question, slots, num_heads=4)
        slots += sum(map(len, question.continuations))
    return trees, slots


@pytest.mark.parametrize(("data", "compiling"), [(1, 0.0), (3, 400.0), (8, 1e9)])
def test_every_token_is_predicted_once_from_the_one_before_it(data, compiling, monkeypatch):
    """Read back from what the devices are given."""
    monkeypatch.setattr(packing, "MAX_TOKENS", 300)
    trees, num_slots = make_trees(60)
    found = np.zeros(num_slots, int)
    buckets = [
        make_batches(widths, of, data=data, num_heads=4) for widths, of in sort_into_buckets(trees, compiling=compiling)
    ]
    assert compiling < 1e9 or len(buckets) == 1
    assert sum(batch.num_tokens for _, batches in buckets for batch in batches) == sum(t.num_tokens for t in trees)
    chunks = cut_chunks([batches for _, batches in buckets], 7)
    assert len({(c.sources.shape, c.picked.shape) for of in chunks for batch in of for c in batch}) == 1
    by_slot = {}
    for tree in trees:
        for targets, tokens in ((tree.trunk_targets, tree.trunk), *((t, b) for b, t in tree.branches)):
            before = zip(targets.slots, tokens[targets.sources], targets.labels, strict=True)
            by_slot |= {slot: (tree.question, token, label) for slot, token, label in before}
    for (shape, batches), of_bucket in zip(buckets, chunks, strict=True):
        assert batches[0].tokens.shape == (data * shape.num_tokens,)
        for batch, of_batch in zip(batches, of_bucket, strict=True):
            tokens_SN, rows_SR = batch.tokens.reshape(data, -1), batch.rows.reshape(data, -1)
            for chunk in of_batch:
                sources_SP = chunk.sources.reshape(data, -1)
                for device, (picked, labels, slots) in enumerate(
                    zip(*(a.reshape(data, -1) for a in (chunk.picked, chunk.labels, chunk.slots)), strict=True)
                ):
                    for where, label, slot in zip(sources_SP[device][picked], labels, slots, strict=True):
                        if slot < 0:
                            continue
                        found[slot] += 1
                        in_branch = where - shape.trunks * shape.trunk_width
                        row = where // shape.trunk_width
                        if in_branch >= 0:
                            row = shape.trunks + in_branch // shape.branch_width
                            owner = batch.owners.reshape(data, -1)[device][row - shape.trunks]
                            assert rows_SR[device][owner] == rows_SR[device][row]
                        assert by_slot[slot] == (rows_SR[device][row], tokens_SN[device][where], label)
    assert (found == 1).all()


def test_buckets_are_joined_while_that_costs_less_than_compiling():
    trees, _ = make_trees(400, choices=(4, 5), context=(50, 400), continuation=(20, 60))
    real = sum(tree.num_tokens for tree in trees)
    counts, padded = [], []
    for compiling in (0.0, 1000.0, 30000.0, 1e9):
        buckets = sort_into_buckets(trees, compiling=compiling)
        counts.append(len(buckets))
        padded.append(
            sum(width * len(of) + branch * sum(len(t.branches) for t in of) for (width, branch), of in buckets)
        )
        assert sum(len(of) for _, of in buckets) == len(trees)
    assert counts == sorted(counts, reverse=True)
    assert padded == sorted(padded)
    assert counts[-1] == 1
    assert counts[1] < 15
    assert real < padded[1] < 1.4 * real


def test_batches_are_as_small_as_they_can_be():
    """Ten questions for four devices: not forty-one rows of which most only fill."""
    trees, _ = make_trees(10, choices=(2, 3), context=(30, 31), continuation=(9, 10))
    shape, batches = make_batches((32, 8), trees, data=4, num_heads=4)
    assert (shape.trunks, shape.branches, len(batches)) == (3, 6, 1)
