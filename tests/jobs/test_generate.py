"""What goes into a continuation and what is read out of it, apart from the model."""

import json

import numpy as np
import pytest
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers

from jaxprune.checkpoints import open_checkpoint
from jaxprune.errors import RequestError
from jaxprune.jobs.generate import continuation_text, prepare_prompts
from tests.checkpoints.folders import edit_json
from tests.tiny import BOS, EOS, write_tiny_checkpoint

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture
def folder(tmp_path):
    write_tiny_checkpoint(tmp_path / "tiny", "llama", max_position_embeddings=40)
    return tmp_path / "tiny"


def prepare(folder, *texts, max_new_tokens=4, is_chat=False):
    return prepare_prompts(open_checkpoint(str(folder)), texts, max_new_tokens=max_new_tokens, is_chat=is_chat)


def test_prompts_are_what_the_tokenizer_makes_of_them(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts = ("größer", "ближе и дальше", "这 在")
    prepared = prepare(folder, *texts)
    assert prepared.texts == texts
    for text, tokens in zip(texts, prepared.tokens, strict=True):
        assert tokens.tolist() == tokenizer(text)["input_ids"]
        assert tokens[0] == BOS


def test_a_chat_is_what_transformers_makes_of_it(folder):
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = f"<bos>[user] abc{tokenizer.eos_token}[assistant]"
    (tokens,) = prepare(folder, "abc", is_chat=True).tokens
    assert tokenizer.decode(tokens) == text
    assert tokens.tolist() == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_a_chat_without_a_template_or_with_a_wrong_one_is_refused(folder):
    with pytest.raises(RequestError, match=r"no chat template.*leave --chat out"):
        prepare(folder, "abc", is_chat=True)
    (folder / "chat_template.jinja").write_text("{{ raise_exception('only in pairs') }}")
    with pytest.raises(RequestError, match=r"chat template cannot be filled in: only in pairs"):
        prepare(folder, "abc", is_chat=True)


@pytest.mark.parametrize(
    ("generation", "config", "own", "wanted"),
    [
        ([5, 7], 9, "<eos>", {5, 7, EOS}),
        (5, [9], "<eos>", {5, EOS}),
        (None, [9, 8], "<eos>", {8, 9, EOS}),
        (None, 9, None, {9}),
        (None, None, None, set()),
    ],
)
def test_end_tokens_come_from_every_place_that_names_them(folder, generation, config, own, wanted):
    if generation is None:
        (folder / "generation_config.json").unlink()
    else:
        edit_json(folder / "generation_config.json", eos_token_id=generation)
    edit_json(folder / "config.json", eos_token_id=config)
    edit_json(folder / "tokenizer_config.json", eos_token=own)
    assert prepare(folder, "abc").stop_tokens == wanted


@pytest.mark.parametrize("named", ["</s>", [5, "x"], 397, [-1], True])
def test_end_tokens_that_are_none_are_refused(folder, named):
    edit_json(folder / "generation_config.json", eos_token_id=named)
    with pytest.raises(RequestError, match=r"eos_token_id = .* names no token of 397; correct it"):
        prepare(folder, "abc")


def test_a_prompt_has_to_leave_room(folder):
    (tokens,) = prepare(folder, "abc", max_new_tokens=1).tokens
    room = 40 - tokens.size
    prepare(folder, "abc", max_new_tokens=room)
    with pytest.raises(RequestError, match=rf"{room + 1} new ones .* made for 40 in all .* at most {room} \("):
        prepare(folder, "abc", max_new_tokens=room + 1)
    with pytest.raises(RequestError, match=r"prompt 2 has \d+ tokens.*shorten the prompt\.$"):
        prepare(folder, "abc", "abc " * 100)


def test_a_context_that_the_config_leaves_out_is_the_familys(folder):
    config = json.loads((folder / "config.json").read_text())
    del config["max_position_embeddings"]
    (folder / "config.json").write_text(json.dumps(config))
    context = transformers.LlamaConfig().max_position_embeddings
    with pytest.raises(RequestError, match=f"made for {context} in all"):
        prepare(folder, "abc", max_new_tokens=context)


@pytest.mark.parametrize(("text", "message"), [("", "prompt 2 is empty"), ("a\udcff", "prompt 2 is not valid UTF-8")])
def test_what_is_no_text_is_refused(folder, text, message):
    with pytest.raises(RequestError, match=message):
        prepare(folder, "abc", text)


def test_tokens_of_another_tokenizer_are_refused(folder, tmp_path):
    write_tiny_checkpoint(tmp_path / "small", "llama", vocab_size=50)
    with pytest.raises(RequestError, match=r"prompt 1: token id \d+ \(position \d\) is outside .* of 50 ids"):
        prepare(tmp_path / "small", "größer")


def test_a_continuation_keeps_the_space_that_it_begins_with():
    """As SentencePiece has it, where the first space of what is decoded is no part of the text."""
    space = "\u2581"
    vocabulary = {"<unk>": 0, "</s>": 1, **{f"{space}{word}": i for i, word in enumerate(("das", "Haus", "ist"), 2)}}
    backend = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    backend.normalizer = normalizers.Prepend(space)
    backend.decoder = decoders.Sequence([decoders.Replace(space, " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")
    prompt, new = np.asarray([2, 3], np.int32), np.asarray([4, 2, 1], np.int32)
    assert tokenizer.decode(new[:2]) == "ist das"
    assert continuation_text(tokenizer, prompt, new) == " ist das"
