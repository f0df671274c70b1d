"""Tokens of a study's tasks, against a count of the prefixes of texts that any tokenizer would have to read."""

import pytest
from tokenizers import Tokenizer

from jaxprune.errors import RequestError
from jaxprune.jobs.study_tokens import TaskTokens, count_task_tokens
from jaxprune.tasks.items import ChoiceItem, GenerationItem, RetrievalPair
from tests.tiny import BOS, write_tiny_checkpoint

CHOICES = {
    "de": [
        ChoiceItem("0", "Der Baum ist ", ("groß und schön", "groß und alt"), 0),
        ChoiceItem("1", "Das Haus kommt ", ("über das Wasser", "in ein Jahr", "nie"), 2),
    ],
    # The first one is there in German too, and the second has its choices.
    "sw": [
        ChoiceItem("0", "Der Baum ist ", ("groß und schön", "groß und alt"), 0),
        ChoiceItem("1", "mti ni ", ("groß und schön", "groß und alt"), 1),
    ],
}
PROMPTS = {"sw": [GenerationItem("0", "maji na nyumba", ("na",), max_new_tokens=9), GenerationItem("1", "ya", ("wa",))]}
PAIRS = {"sw": [RetrievalPair("0", "the tree", "mti"), RetrievalPair("1", "the house", "mti")]}
ITEMS = {"exams": CHOICES, "summarisation": PROMPTS, "verse-retrieval": PAIRS}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    write_tiny_checkpoint(folder, "llama", seed=0)
    return folder


@pytest.fixture
def ids(model):
    """What the tokenizer makes of a text, and BOS before it."""
    stored = Tokenizer.from_file(str(model / "tokenizer.json"))
    return lambda text: [BOS, *stored.encode(text, add_special_tokens=False).ids]


def read_of(texts_as_ids):
    """Returns how many different beginnings have to be read for the last token of each to be predicted."""
    return len({tuple(of[:end]) for of in texts_as_ids for end in range(1, len(of))})


def test_every_context_choice_prompt_and_sentence_counts_once(model, ids):
    distinct = {(item.context, item.choices) for of in CHOICES.values() for item in of}
    assert len(distinct) == 3
    scoring = sum(read_of([ids(context + choice) for choice in choices]) for context, choices in distinct)
    scoring += sum(read_of([ids(" " + choice) for choice in choices]) for choices in {of for _, of in distinct})
    sentences = sum(len(ids(text)) for text in ("the tree", "the house", "mti"))
    prompts = sum(len(ids(item.prompt)) for item in PROMPTS["sw"])
    totals, seen = [], []
    found = count_task_tokens(str(model), ITEMS, lambda total: (totals.append(total), seen.append)[1])
    assert found == TaskTokens(scoring + sentences, prompts, 9 + 128, {})
    assert totals == [8]
    assert sum(seen) == 8
    assert len(seen) > 4


def test_a_prompt_that_the_model_was_not_made_for_counts_as_far_as_it_is_read(tmp_path, ids):
    write_tiny_checkpoint(tmp_path / "short", "llama", seed=0, max_position_embeddings=64)
    item = GenerationItem("0", "maji na " * 60, ("na",), max_new_tokens=20)
    assert len(ids(item.prompt)) > 64
    found = count_task_tokens(str(tmp_path / "short"), {"summarisation": {"sw": [item]}})
    assert (found.prompts, found.generated) == (44, 20)


def test_what_is_not_here_is_named_and_not_guessed(model, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXPRUNE_CACHE", str(tmp_path / "nothing"))
    monkeypatch.setattr("jaxprune.wheels.download_archive", pytest.fail)
    absent = {"proverbs": {"sw": None}}
    assert count_task_tokens(str(model), {**ITEMS, **absent}).uncounted == {
        "proverbs": "the data come when the study runs"
    }
    assert count_task_tokens("nobody/has-it", absent).uncounted == count_task_tokens(str(model), absent).uncounted
    for reference in ("sample:gemma3-270m", "nobody/has-it"):
        found = count_task_tokens(reference, ITEMS)
        why = f"the tokenizer of {reference} is not on this machine"
        assert found == TaskTokens(0, 0, 0, dict.fromkeys(ITEMS, why))
    (model / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    found = count_task_tokens(str(model), ITEMS)
    (tmp_path / "tokenizer.json").rename(model / "tokenizer.json")
    assert found.scoring == 0
    assert set(found.uncounted) == set(ITEMS)
    assert all("has no tokenizer" in why for why in found.uncounted.values())


def test_an_item_that_no_model_can_be_asked_is_an_error(model):
    item = ChoiceItem("0", "", ("", "a"), 1)
    with pytest.raises(RequestError, match="has no tokens"):
        count_task_tokens(str(model), {"exams": {"de": [item]}})
