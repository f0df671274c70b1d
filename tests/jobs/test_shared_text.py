"""One text through several models: what their tokenizers do decides whether they can be compared, not their files."""

import json
import logging

import numpy as np
import pytest
from tokenizers import Tokenizer

from jaxprune.checkpoints import open_checkpoint
from jaxprune.errors import RequestError
from jaxprune.jobs.shared_text import prepare_shared_windows
from jaxprune.jobs.snr import prepare_snr
from jaxprune.jobs.state_inputs import prepare_states
from tests.tiny import generated_text, write_tiny_checkpoint

LANGUAGES = ["de", "sw"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    for seed, language in enumerate(LANGUAGES):
        write_documents(folder, language, [generated_text(10 * seed + number) for number in range(12)])
    return f"files:{folder}"


def write_documents(folder, language, documents):
    lines = [json.dumps({"text": document}) for document in documents]
    (folder / f"{language}.evaluation.jsonl").write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture
def pair(tmp_path):
    """Returns the folders of two models whose tokenizers are the same, and a function that changes the second's."""
    folders = tmp_path / "first", tmp_path / "second"
    for seed, folder in enumerate(folders):
        write_tiny_checkpoint(folder, "llama", seed=seed)
    file = folders[1] / "tokenizer.json"

    def change(edit):
        content = json.loads(file.read_text(encoding="utf-8"))
        edit(content)
        file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    return *folders, change


def swap_numbers(content):
    """Two tokens that generated text never has."""
    numbers = content["model"]["vocab"]
    numbers["Q"], numbers["Z"] = numbers["Z"], numbers["Q"]


def reverse_merges(content):
    content["model"]["merges"].reverse()


def forget_bos(content):
    content["post_processor"] = None


def respell(content):
    """Another file for what cuts text alike: a merge that is there twice, and a token of which text is never made."""
    content["model"]["merges"].insert(0, content["model"]["merges"][-1])
    content["added_tokens"].append({**content["added_tokens"][0], "id": 397, "content": "[PAD397]"})


def through_snr(checkpoints, texts):
    return prepare_snr(*checkpoints, texts, LANGUAGES, windows=4, length=64)


def through_states(checkpoints, texts):
    return prepare_states(checkpoints, texts, LANGUAGES, windows=16, length=64).windows


@pytest.mark.parametrize("prepare", [through_snr, through_states])
@pytest.mark.parametrize(
    ("edit", "said"),
    [(swap_numbers, r"'Q' is token \d+ of the first and \d+"), (reverse_merges, "is cut into"), (forget_bos, r"\[2, ")],
)
def test_tokenizers_that_differ_are_refused_by_the_names_of_both_models(pair, texts, prepare, edit, said):
    first, second, change = pair
    change(edit)
    checkpoints = [open_checkpoint(str(folder)) for folder in (first, second)]
    with pytest.raises(RequestError, match=said) as refused:
        prepare(checkpoints, texts)
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith(f"{first} and {second} are compared")
    assert "give models with one tokenizer" in message


def test_a_tokenizer_that_is_written_otherwise_and_cuts_alike_is_accepted(pair, texts):
    first, second, change = pair
    change(respell)
    ours, theirs = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (first, second))
    assert ours.to_str() != theirs.to_str()
    checkpoints = [open_checkpoint(str(folder)) for folder in (first, second)]
    windows = through_states(checkpoints, texts)
    for seed, language in enumerate(LANGUAGES):
        expected = ours.encode(generated_text(10 * seed), add_special_tokens=False).ids
        np.testing.assert_array_equal(windows[language].tokens_NT[0, 1:], expected[:63])


def test_a_model_without_a_tokenizer_is_given_the_tokens_of_the_first(pair, texts, caplog):
    first, second, _ = pair
    (second / "tokenizer.json").unlink()
    checkpoints = [open_checkpoint(str(folder)) for folder in (first, second)]
    with caplog.at_level(logging.WARNING, "jaxprune"):
        windows = through_snr(checkpoints, texts)
    assert f"{second} has no tokenizer; it is given the tokens of {first}" in caplog.text
    alone = prepare_shared_windows(checkpoints[:1], texts, LANGUAGES, windows=4, length=64)
    for language in LANGUAGES:
        np.testing.assert_array_equal(windows[language].tokens_NT, alone[language].tokens_NT)
    with pytest.raises(RequestError, match="has no tokenizer"):
        through_snr(checkpoints[::-1], texts)


def test_a_tokenizer_that_cannot_be_read_is_not_taken_for_none(pair, texts):
    first, second, _ = pair
    (second / "tokenizer.json").write_text("{")
    checkpoints = [open_checkpoint(str(folder)) for folder in (first, second)]
    with pytest.raises(RequestError, match=f"the tokenizer in {second} cannot be built"):
        through_snr(checkpoints, texts)


def join_letters(content):
    """Makes the last token another one, of two letters that generated text does not have."""
    model = content["model"]
    last = max(model["vocab"], key=model["vocab"].get)
    model["vocab"]["QZ"] = model["vocab"].pop(last)
    model["merges"] = [merge for merge in model["merges"] if "".join(merge) != last] + [["Q", "Z"]]


def test_sentences_are_to_be_cut_alike_too(pair, tmp_path):
    first, second, change = pair
    change(join_letters)
    checkpoints = [open_checkpoint(str(folder)) for folder in (first, second)]
    for language, letters in zip(LANGUAGES, ("a b c ", "d e f "), strict=True):
        write_documents(tmp_path, language, [letters * 400])
    lines = [json.dumps({language: f"QZ {number} {language}" for language in LANGUAGES}) for number in range(10)]
    (tmp_path / "sentences.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert through_states(checkpoints, f"files:{tmp_path}")
    asked = {"windows": 16, "length": 64, "sentences": f"file:{tmp_path / 'sentences.jsonl'}", "num_sentences": 10}
    with pytest.raises(RequestError, match="'QZ"):
        prepare_states(checkpoints, f"files:{tmp_path}", LANGUAGES, **asked)


def test_token_ids_are_taken_as_they_are(pair, tmp_path):
    first, second, change = pair
    change(swap_numbers)
    tokens = np.random.default_rng(0).integers(3, 300, (3, 16)).astype(np.int32)
    np.save(tmp_path / "ids.npy", tokens)
    checkpoints = [open_checkpoint(str(folder)) for folder in (first, second)]
    found = prepare_snr(*checkpoints, f"tokens:{tmp_path / 'ids.npy'}", [], windows=None, length=16)
    np.testing.assert_array_equal(found["tokens"].tokens_NT, tokens)
