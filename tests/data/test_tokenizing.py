import logging

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from jaxprune.data.tokenizing import SEPARATOR, pack, take, tokenize, window_start
from tests.data.corpora import byte_level, document, normalizing, sentencepiece_like

TOKENIZERS = {
    "byte level, BOS": byte_level(bos=True),
    "byte level, spaces in spans": byte_level(bos=False, trim=False),
    "byte level, BOS and EOS": byte_level(bos=True, eos=True),
    "byte level, EOS": byte_level(bos=False, eos=True),
    "sentencepiece, BOS": sentencepiece_like(bos=True),
    "sentencepiece": sentencepiece_like(bos=False),
    "normalizing": normalizing(),
}
TEXTS = [
    *(document(index, 9) for index in range(6)),
    "the  the\n\n",
    "  leading and trailing   ",
    "日本語 ﷺ é é 🦜👩‍👩‍👧 ½ ﬁ",
    "a literal </s> and <s> inside",
    "x",
    " ",
]


@pytest.mark.parametrize("special_tokens", [True, False])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_bytes_of_tokens_add_up_to_the_text(name, special_tokens):
    tokenizer = TOKENIZERS[name]
    parts = tokenize(tokenizer, TEXTS, special_tokens=special_tokens, count_bytes=True)
    for text, part in zip(TEXTS, parts, strict=True):
        assert part.tokens_T.dtype == np.int32
        assert part.tokens_T.tolist() == tokenizer(text, add_special_tokens=special_tokens)["input_ids"]
        assert part.bytes_T.shape == part.tokens_T.shape
        assert (part.bytes_T >= 0).all()
        if part.tokens_T.size:
            assert part.bytes_T.sum() == len(text.encode()), text
        if part.tokens_T.size > 1 and part.tokens_T[0] == tokenizer.bos_token_id:
            assert part.bytes_T[0] == 0, text


@pytest.mark.parametrize("trim", [True, False])
def test_bytes_follow_the_tokens(trim):
    tokenizer = byte_level(bos=True, trim=trim)
    (part,) = tokenize(tokenizer, ["the the日x\n\n"], special_tokens=True, count_bytes=True)
    assert tokenizer.convert_ids_to_tokens(part.tokens_T) == ["<s>", "the", "Ġthe", "æ", "Ĺ", "¥", "x", "ĊĊ"]
    assert part.bytes_T.tolist() == [0, 3, 4, 3, 0, 0, 1, 2]


def test_no_bytes_unless_asked_for():
    (part,) = tokenize(byte_level(bos=True), ["the"], special_tokens=True, count_bytes=False)
    assert part.bytes_T is None
    assert tokenize(byte_level(bos=True), [], special_tokens=True, count_bytes=True) == []


def test_what_windows_begin_with():
    assert {name: window_start(tokenizer).tolist() for name, tokenizer in TOKENIZERS.items()} == {
        "byte level, BOS": [0],
        "byte level, spaces in spans": [],
        "byte level, BOS and EOS": [0],
        "byte level, EOS": [],
        "sentencepiece, BOS": [1],
        "sentencepiece": [],
        "normalizing": [0],
    }


def test_padding_and_truncation_of_the_tokenizer_file_do_not_reach_the_ids():
    backend = Tokenizer(models.WordLevel({"a": 0, "b": 1, "[PAD]": 2}, unk_token="b"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.enable_truncation(3)
    backend.enable_padding(pad_id=2, pad_token="[PAD]", length=9)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]")
    parts = tokenize(tokenizer, ["a b a b a", "b"], special_tokens=False, count_bytes=True)
    assert [part.tokens_T.tolist() for part in parts] == [[0, 1, 0, 1, 0], [1]]


def test_long_texts_are_no_reason_to_warn(caplog, capfd, monkeypatch):
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    tokenizer = byte_level(bos=True)
    assert tokenizer.model_max_length == 16
    tokenize(tokenizer, [document(0, 100)], special_tokens=True, count_bytes=True)
    window_start(tokenizer)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["byte level, BOS", "sentencepiece, BOS"])
def test_packing_tokenizes_each_document_alone(name):
    tokenizer = TOKENIZERS[name]
    texts = [document(index, 3 + index % 5) for index in range(30)]
    alone = [tokenizer(text + SEPARATOR, add_special_tokens=False)["input_ids"] for text in texts]
    joined = [id for ids in alone for id in ids]
    for wanted in (1, 50, len(joined) - 1, len(joined)):
        packed = pack(tokenizer, iter(texts), wanted, count_bytes=True)
        assert packed.tokens_T.tolist() == joined[:wanted]
        needed = np.searchsorted(np.cumsum([len(ids) for ids in alone]), wanted) + 1
        assert len(packed.documents) == needed
    assert packed.bytes_T.sum() == sum(len((text + SEPARATOR).encode()) for text in texts)
    assert pack(tokenizer, iter(texts), len(joined) + 1).tokens_T.size == len(joined)


def test_packing_passes_over_blank_documents():
    tokenizer = TOKENIZERS["byte level, BOS"]
    packed = pack(tokenizer, iter(["", "the", " \n", "the"]), 100)
    assert len(packed.documents) == 2
    assert packed.tokens_T.size == 4


def test_packing_reads_little_more_than_it_needs():
    served = 0

    def documents():
        nonlocal served
        for index in range(10_000):
            served += 1
            yield document(index, 20)

    packed = pack(TOKENIZERS["byte level, BOS"], documents(), 20_000)
    assert served <= 1.1 * len(packed.documents) + 2


def test_taking_gives_at_least_one():
    documents = iter(["abc", "de", "f", "ghij"])
    assert take(documents, 4) == ["abc", "de"]
    assert take(documents, 0) == ["f"]
    assert take(documents, 100) == ["ghij"]
    assert take(documents, 100) == []
