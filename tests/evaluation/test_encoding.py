"""Where a context ends and its choices begin, in tokens."""

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from jaxprune.errors import RequestError
from jaxprune.evaluation.encoding import encode_question

BOS, EOS = 0, 1
# Two characters that are one token side by side, as scripts without spaces have many; and words with their space.
PIECES = ["日", "本", "語", "日本", "本語", "。", "a", "b", "c", "▁", "▁a", "▁b", "ab"]
MERGES = [("日", "本"), ("本", "語"), ("▁", "a"), ("▁", "b"), ("a", "b")]


def make_tokenizer(*, adds_bos, **special):
    vocab = {piece: i for i, piece in enumerate(["<s>", "</s>", *PIECES])}
    tokenizer = Tokenizer(models.BPE(vocab, MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never", split=False)
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BOS)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **(special or {"bos_token": "<s>", "eos_token": "</s>"}))


WITH_BOS, WITHOUT_BOS = make_tokenizer(adds_bos=True), make_tokenizer(adds_bos=False)


def read(question):
    """Returns the pieces of a question."""
    names = ["<s>", "</s>", *PIECES]
    return [names[i] for i in question.context], *([names[i] for i in tokens] for tokens in question.continuations)


def encode(context, *choices, tokenizer=WITH_BOS, max_length=None):
    return encode_question(tokenizer, context, choices, max_length=max_length)


@pytest.mark.parametrize(
    ("context", "choices", "wanted"),
    [
        ("a c", [" b", " ab"], (["<s>", "a", "▁", "c"], ["▁b"], ["▁a", "b"])),
        # White space behind the context is the choices'.
        ("c ", ["b", "ab"], (["<s>", "c"], ["▁b"], ["▁a", "b"])),
        ("c  ", ["b"], (["<s>", "c"], ["▁", "▁b"])),
        # A token across the border is the choices', of all of them.
        ("語日", ["語", "本"], (["<s>", "語"], ["日", "語"], ["日本"])),
        ("日", ["本", "語"], (["<s>"], ["日本"], ["日", "語"])),
        ("日本", ["語", "。"], (["<s>", "日本"], ["語"], ["。"])),
        ("", ["日本", "a"], (["<s>"], ["日本"], ["a"])),
        ("  ", ["b"], (["<s>"], ["▁", "▁b"])),
        # BOS that is spelled out, as chat templates do, is not put before it once more.
        ("<s>c", ["b"], (["<s>", "c"], ["b"])),
        ("c", [], (["<s>", "c"],)),
    ],
)
def test_where_the_border_is(context, choices, wanted):
    question = encode(context, *choices)
    assert read(question) == wanted
    assert question.num_cut == 0
    assert question.context.dtype == np.int32


@pytest.mark.parametrize(("context", "choice"), [("a c", " ab"), ("c  ", "ab"), ("日本", "語"), ("cab", " cab b")])
def test_is_the_harness_s_where_no_token_spans_the_border(context, choice):
    """Its rule in own words: as many tokens as the context alone has, without the white space at its end."""
    stripped = context.rstrip()
    whole = WITH_BOS(context + choice)["input_ids"]
    alone = WITH_BOS(stripped)["input_ids"]
    question = encode(context, choice)
    assert question.context.tolist() == alone
    assert question.continuations[0].tolist() == whole[len(alone) :]


def test_without_bos_only_an_empty_context_has_a_prefix():
    assert read(encode("c", "b", tokenizer=WITHOUT_BOS)) == (["c"], ["b"])
    assert read(encode("", "b", tokenizer=WITHOUT_BOS)) == (["<s>"], ["b"])
    assert read(encode("日", "本", tokenizer=WITHOUT_BOS)) == (["<s>"], ["日本"])
    with_eos_alone = make_tokenizer(adds_bos=False, eos_token="</s>")
    assert read(encode("", "b", tokenizer=with_eos_alone)) == (["</s>"], ["b"])
    with pytest.raises(RequestError, match="neither a BOS nor an EOS token"):
        encode("", "b", tokenizer=make_tokenizer(adds_bos=False, pad_token="c"))


def test_what_is_too_long_loses_the_beginning_of_its_context():
    """For all choices alike, and never BOS: the model reads all but the last token of the longest choice."""
    for max_length in range(5, 12):
        question = encode("cbcbcb", "c", "ccc", max_length=max_length)
        kept = max_length - 1 - 2
        assert read(question)[0] == ["<s>", *"cbcbcb"[-kept:]][: 1 + min(6, kept)]
        assert question.num_cut == max(0, 6 - kept)
    assert read(encode("", "ccc", max_length=3)) == (["<s>"], ["c", "c", "c"])
    with pytest.raises(RequestError, match="choice 2 has 4 tokens, and the model was made for 3"):
        encode("", "c", "cccc", max_length=3)
    with pytest.raises(RequestError, match="choice 1 has 4 tokens, and the model was made for 4"):
        encode("cc", "cccc", max_length=4)


def test_a_choice_that_adds_nothing_is_refused():
    with pytest.raises(RequestError, match="choice 2, '', has no tokens"):
        encode("c", "b", "")
