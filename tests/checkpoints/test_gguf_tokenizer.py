"""Tokenizers rebuilt from GGUF metadata; the real ones are compared with transformers' elsewhere."""

import json
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import transformers

from jaxprune.checkpoints.gguf_tokenizer import build_tokenizer, implied_merges
from jaxprune.errors import RequestError
from tests.checkpoints.gguf_writing import BYTE_LEVEL
from tests.tiny import generated_text, tiny_tokenizer

PATH = Path("model.gguf")


def arrays(metadata):
    """Metadata as the header's reader returns it."""
    return {
        key: np.array(value) if isinstance(value, list) and not isinstance(value[0], str) else value
        for key, value in metadata.items()
    }


def byte_level(**changes):
    changed = {f"tokenizer.ggml.{key}": value for key, value in changes.items()}
    kept = {key: value for key, value in {**BYTE_LEVEL, **changed}.items() if value is not None}
    return build_tokenizer(PATH, "llama", arrays(kept))


SPACE = "\u2581"
_BYTES = [f"<0x{i:02X}>" for i in range(256)]
_PIECES = {"ab": -0.0, SPACE + "a": -1.0, "abc": -2.0, "cc": -3.0, SPACE + SPACE: -4.0}
_LETTERS = [SPACE, "a", "b", "c"]
TOKENS = ["<unk>", "<s>", "</s>", *_BYTES, *_PIECES, *_LETTERS, "<tool>", "<pad>"]
SENTENCEPIECE = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.scores": [0.0] * 259 + list(_PIECES.values()) + [-10.0, -11.0, -12.0, -13.0] + [-1000.0] * 2,
    "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * 9 + [4, 3],
    "tokenizer.ggml.padding_token_id": len(TOKENS) - 1,
}


def sentencepiece(architecture="llama", **changes):
    changed = {f"tokenizer.ggml.{key}": value for key, value in changes.items()}
    kept = {key: value for key, value in {**SENTENCEPIECE, **changed}.items() if value is not None}
    return build_tokenizer(PATH, architecture, arrays(kept))


def pieces(tokenizer, string, **options):
    return tokenizer.convert_ids_to_tokens(tokenizer(string, **options)["input_ids"])


@pytest.mark.parametrize(
    ("string", "expected"),
    [
        ("abcab", ["abc", "ab"]),
        (" ab 12", ["Ġab", "Ġ", "1", "2"]),  # digits stand alone, the space before them too
        ("a's", ["a", "'s"]),
        ("ö\nab", ["Ã¶", "Ċ", "ab"]),
        ("ab<tool>c<|end|>d", ["ab", "<tool>", "c", "<|end|>", "d"]),
    ],
)
def test_byte_level_pieces(string, expected):
    tokenizer = byte_level()
    assert pieces(tokenizer, string) == expected
    assert tokenizer.decode(tokenizer(string)["input_ids"]) == string


def test_digits_are_cut_as_the_name_of_the_pre_tokenizer_says():
    assert pieces(byte_level(pre="gpt-2"), "a 12") == ["a", "Ġ1", "2"]
    assert pieces(byte_level(pre="llama-bpe", add_bos_token=False), "a 12") == ["a", "Ġ", "12"]
    assert pieces(byte_level(pre="qwen2"), "a 12") == ["a", "Ġ", "1", "2"]


def test_only_command_r_and_qwen_compose_letters_first():
    decomposed = "o\u0308"
    tokens = [*BYTE_LEVEL["tokenizer.ggml.tokens"], "o", "Ì", "Ī"]
    types = [*BYTE_LEVEL["tokenizer.ggml.token_type"], 1, 1, 1]
    for pre, expected in (("smollm", ["o", "Ì", "Ī"]), ("command-r", ["Ã¶"]), ("qwen2", ["Ã¶"])):
        found = pieces(byte_level(pre=pre, tokens=tokens, token_type=types), decomposed)
        assert found[0] == expected[0], pre
        assert len(found) == 1 or pre == "smollm"


def test_llama3_takes_a_whole_word_that_is_a_token_whether_or_not_merges_lead_to_it():
    tokens = [*BYTE_LEVEL["tokenizer.ggml.tokens"][:-1], "dab"]
    types = [*BYTE_LEVEL["tokenizer.ggml.token_type"][:-1], 1]
    assert pieces(byte_level(pre="llama-bpe", tokens=tokens, token_type=types), "dab")[-1] == "dab"
    assert pieces(byte_level(pre="gpt-2", tokens=tokens, token_type=types), "dab") == ["d", "ab"]


def test_the_start_token_is_added_where_the_file_or_its_family_says():
    assert pieces(byte_level(), "ab") == ["ab"]
    assert pieces(byte_level(add_bos_token=True), "ab") == ["<|start|>", "ab"]
    assert pieces(byte_level(add_bos_token=True, add_eos_token=True), "ab") == ["<|start|>", "ab", "<|end|>"]
    assert pieces(byte_level(pre="llama-bpe"), "ab") == ["<|start|>", "ab"]
    assert pieces(byte_level(pre="llama-bpe", add_bos_token=False), "ab") == ["ab"]
    assert pieces(byte_level(pre="llama-bpe", bos_token_id=None), "ab") == ["ab"]
    assert pieces(sentencepiece(), "ab")[0] == "<s>"
    assert pieces(sentencepiece(add_bos_token=False), "ab")[0] != "<s>"


def test_qwen_pieces_are_those_of_transformers():
    model = json.loads(tiny_tokenizer().to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [" ".join(merge) for merge in model["merges"]]
    ours = byte_level(pre="qwen2", tokens=tokens, token_type=None, merges=merges, bos_token_id=2, eos_token_id=1)
    theirs = transformers.Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=[tuple(merge) for merge in model["merges"]],
        **dict.fromkeys(("unk_token", "eos_token", "pad_token"), "<eos>"),
    )
    texts = [
        generated_text(3),
        "I'm, WE'LL, they'd've",
        "1234 ４２ ½ 百二十 e\u0301 \u1100\u1161",
        "one\r\n\n  two\t three   \n",
        " !?<eos>...a",
    ]
    for text in texts:
        found = ours(text)["input_ids"]
        assert found == theirs(text)["input_ids"]
        assert ours.decode(found) == unicodedata.normalize("NFC", text)


def test_special_tokens_have_their_roles_and_are_skipped_in_text():
    tokenizer = byte_level(add_bos_token=True)
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 0, None)
    assert len(tokenizer) == len(BYTE_LEVEL["tokenizer.ggml.tokens"])
    ids = tokenizer("ab<|end|><tool>")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "ab<tool>"
    tokenizer = sentencepiece()
    roles = (tokenizer.unk_token, tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token)
    assert roles == ("<unk>", "<s>", "</s>", "<pad>")


def test_sentencepiece_joins_by_score_and_spells_the_rest_in_bytes():
    tokenizer = sentencepiece(add_bos_token=False)
    # "ab" outranks "▁a", although "▁a" comes first in the text.
    assert pieces(tokenizer, "abc") == [SPACE, "abc"]
    assert pieces(tokenizer, "ac") == [SPACE + "a", "c"]
    assert pieces(tokenizer, "  a") == [SPACE + SPACE, SPACE + "a"]
    assert pieces(tokenizer, "ö") == [SPACE, "<0xC3>", "<0xB6>"]
    assert pieces(tokenizer, "c<tool>c") == [SPACE, "c", "<tool>", SPACE, "c"]
    for string in ("abc ab", "  a", "ö 語 👍", "a\n\tb ", ""):
        assert tokenizer.decode(tokenizer(string)["input_ids"]) == string
    bare = sentencepiece(add_bos_token=False, add_space_prefix=False)
    assert pieces(bare, "abc") == ["abc"]
    assert bare.decode(bare(" abc")["input_ids"]) == " abc"


def test_gemma_merges_runs_of_spaces_and_ranks_by_position():
    tokens = [token.replace(SPACE, " ") if token == SPACE * 2 else token for token in TOKENS]
    scores = np.full(len(TOKENS), -1000.0)  # as of tokens that llama.cpp calls user-defined
    types = [
        4 if token == "  " else type_
        for token, type_ in zip(tokens, SENTENCEPIECE["tokenizer.ggml.token_type"], strict=True)
    ]
    tokenizer = sentencepiece("gemma3", tokens=tokens, scores=scores, token_type=types, add_space_prefix=False)
    assert len(tokenizer) == len(TOKENS)
    assert pieces(tokenizer, "ab   abc", add_special_tokens=False) == ["ab", SPACE * 2, SPACE, "abc"]
    assert tokenizer.decode(tokenizer("a   b")["input_ids"], skip_special_tokens=True) == "a   b"


def test_merges_are_every_cut_of_every_token_best_first():
    tokens = ["x", "y", "z", "xy", "yz", "xyz", "q", "zq"]
    scores = [0, 0, 0, -3.0, -1.0, -2.0, 0, -9.0]
    assert implied_merges(PATH, tokens, scores) == [
        ("y", "z"),
        ("xy", "z"),
        ("x", "yz"),
        ("x", "y"),
        ("z", "q"),
    ]


def test_merges_of_a_large_vocabulary_take_seconds():
    rng = np.random.default_rng(0)
    letters = rng.choice(list("abcdefghijklmnop"), (2**16, 12))
    lengths = rng.integers(1, 12, 2**16)
    tokens = list({"".join(row[:length]) for row, length in zip(letters, lengths, strict=True)})
    begin = time.monotonic()
    merges = implied_merges(PATH, tokens, range(0, -len(tokens), -1))
    assert time.monotonic() - begin < 5
    assert len(merges) > 10_000


def test_chat_templates_come_along():
    metadata = {**BYTE_LEVEL, "tokenizer.chat_template": "{{ messages[0]['content'] }}!"}
    tokenizer = build_tokenizer(PATH, "llama", arrays(metadata))
    conversation = [{"role": "user", "content": "ab"}]
    assert tokenizer.apply_chat_template(conversation, tokenize=False) == "ab!"
    named = {**metadata, "tokenizer.chat_template.rag": "{{ messages[0]['content'] }}?"}
    tokenizer = build_tokenizer(PATH, "llama", arrays(named))
    assert tokenizer.apply_chat_template(conversation, tokenize=False, chat_template="rag") == "ab?"
    assert byte_level().chat_template is None


@pytest.mark.parametrize("build", [byte_level, sentencepiece])
def test_what_is_saved_loads_as_the_same_tokenizer(tmp_path, build):
    tokenizer = build(add_bos_token=True, add_eos_token=True)
    tokenizer.save_pretrained(tmp_path)
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for string in ("ab  abc<tool>", " 12's ö"):
        assert loaded(string)["input_ids"] == tokenizer(string)["input_ids"]
    assert (loaded.bos_token, loaded.eos_token) == (tokenizer.bos_token, tokenizer.eos_token)


@pytest.mark.parametrize(
    ("build", "changes", "said"),
    [
        (byte_level, {"model": None}, "no tokenizer"),
        (byte_level, {"model": "t5"}, "'t5'"),
        (byte_level, {"pre": "tekken"}, "'tekken'.*command-r, default, gpt-2, llama-bpe"),
        (byte_level, {"pre": 3}, "pre is not a string"),
        (byte_level, {"tokens": None}, "tokens is missing"),
        (byte_level, {"tokens": [1, 2]}, "tokens is missing or no list"),
        (byte_level, {"tokens": ["a"] * 25}, "repeats 24"),
        (byte_level, {"merges": None}, "merges is missing"),
        (byte_level, {"merges": ["a zz"]}, "do not make a tokenizer"),
        (byte_level, {"merges": ["ab"]}, "do not make a tokenizer"),
        (byte_level, {"token_type": [1, 1]}, "one number for each of 25"),
        (byte_level, {"bos_token_id": 25}, "bos_token_id is 25"),
        (byte_level, {"eos_token_id": "x"}, "eos_token_id is 'x'"),
        (byte_level, {"add_bos_token": 1}, "add_bos_token is 1"),
        (sentencepiece, {"scores": None}, "scores does not have one"),
        (sentencepiece, {"scores": [0.0]}, "scores does not have one"),
        (sentencepiece, {"tokens": [*TOKENS[:-1], "a" * 5000]}, "more than 1024 characters"),
    ],
)
def test_contradictions_are_refused(build, changes, said):
    with pytest.raises(RequestError, match=said):
        build(**changes)
