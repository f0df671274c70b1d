import numpy as np
import pytest

from jaxprune.data.windows import evaluation_windows
from jaxprune.errors import RequestError
from tests.data.corpora import MadeTexts, byte_level, document, normalizing, sentencepiece_like

SIZES = [4 + index % 9 for index in range(40)]
TOKENIZERS = {
    "byte level, BOS": byte_level(bos=True),
    "byte level": byte_level(bos=False),
    "sentencepiece, BOS": sentencepiece_like(bos=True),
    "normalizing": normalizing(),
}


def cut(tokenizer, windows=6, length=40, protocol="windows", sizes=SIZES):
    source = MadeTexts(sizes)
    made = evaluation_windows(source, tokenizer, "sw", windows=windows, length=length, protocol=protocol)
    return made, source.served


def texts(sizes=SIZES):
    return [document(("sw", "evaluation", index), size) for index, size in enumerate(sizes)]


def packed_ids(tokenizer):
    return [id for text in texts() for id in tokenizer(text + "\n\n", add_special_tokens=False)["input_ids"]]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_windows_are_documents_end_to_end_each_with_bos(name):
    tokenizer = TOKENIZERS[name]
    windows, _ = cut(tokenizer)
    stream = packed_ids(tokenizer)
    has_bos = name != "byte level"
    width = 39 if has_bos else 40
    rows = [[tokenizer.bos_token_id] * has_bos + stream[i * width : (i + 1) * width] for i in range(6)]
    assert windows.tokens_NT.dtype == np.int32
    assert windows.tokens_NT.tolist() == rows


@pytest.mark.parametrize("name", TOKENIZERS)
def test_published_windows_are_the_joined_text_tokenized_once(name):
    tokenizer = TOKENIZERS[name]
    windows, _ = cut(tokenizer, protocol="published")
    ids = tokenizer("\n\n".join(texts()))["input_ids"]
    assert windows.tokens_NT.ravel().tolist() == ids[:240]
    every = len(ids) // 40
    windows, _ = cut(tokenizer, windows=every, protocol="published")
    assert windows.tokens_NT.ravel().tolist() == ids[: every * 40]
    with pytest.raises(RequestError, match=rf"\({len(ids)} tokens\) makes {every};"):
        cut(tokenizer, windows=every + 1, protocol="published")


@pytest.mark.parametrize("name", TOKENIZERS)
def test_published_windows_are_the_same_however_long_the_text_goes_on(name):
    tokenizer = TOKENIZERS[name]
    # Long tokens, so that little is read at first; runs of line ends, as WikiText's blank rows make them.
    documents = ["the the the the\n", "\n", "", "\n\n", "the\n", "", "the the", "the the the\n", "the"] * 12

    class Listed(MadeTexts):
        def documents(self, language, split, *, seed):
            return iter(documents)

    ids = tokenizer("\n\n".join(documents))["input_ids"]
    for length in range(2, len(ids) + 1):
        windows = evaluation_windows(Listed([]), tokenizer, "sw", windows=1, length=length, protocol="published")
        assert windows.tokens_NT[0].tolist() == ids[:length]


def widths_of_characters_begun_in(token):
    """Returns the UTF-8 bytes of the characters whose first byte a byte-level token holds."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    shifted = [byte for byte in range(256) if byte not in printable]
    values = [shifted[ord(symbol) - 256] if ord(symbol) >= 256 else ord(symbol) for symbol in token]
    return sum(1 + (byte >= 0xC0) + (byte >= 0xE0) + (byte >= 0xF0) for byte in values if byte >> 6 != 0b10)


@pytest.mark.parametrize("protocol", ["windows", "published"])
@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("trim", [True, False])
def test_bytes_are_those_of_the_predicted_text(protocol, bos, trim):
    """Tokens of a byte-level tokenizer spell their bytes, so they can be counted without any span."""
    tokenizer = byte_level(bos=bos, trim=trim)
    windows, _ = cut(tokenizer, windows=5, length=50, protocol=protocol)
    predicted = [token for row in windows.tokens_NT for token in tokenizer.convert_ids_to_tokens(row[1:])]
    assert windows.num_bytes == sum(map(widths_of_characters_begun_in, predicted))


@pytest.mark.parametrize("name", ["byte level, BOS", "sentencepiece, BOS", "normalizing"])
def test_bytes_of_all_windows_are_the_bytes_of_the_text(name):
    tokenizer = TOKENIZERS[name]
    windows, _ = cut(tokenizer, windows=1, length=len(packed_ids(tokenizer)) + 1)
    assert windows.num_bytes == sum(len((text + "\n\n").encode()) for text in texts())
    joined = "\n\n".join(texts())
    windows, _ = cut(tokenizer, windows=1, length=len(tokenizer(joined)["input_ids"]), protocol="published")
    assert windows.num_bytes == len(joined.encode())


def test_without_bos_the_first_token_of_each_window_is_not_counted():
    tokenizer = byte_level(bos=False)
    joined = "\n\n".join(texts())
    length = len(tokenizer(joined)["input_ids"])
    windows, _ = cut(tokenizer, windows=1, length=length, protocol="published")
    first = document(("sw", "evaluation", 0), 4)[0]
    assert tokenizer(first)["input_ids"][0] == windows.tokens_NT[0, 0]
    assert windows.num_bytes == len(joined.encode()) - len(first.encode())


@pytest.mark.parametrize("protocol", ["windows", "published"])
def test_a_long_text_is_not_read_to_its_end(protocol):
    tokenizer = TOKENIZERS["byte level, BOS"]
    windows, served = cut(tokenizer, windows=10, length=100, protocol=protocol, sizes=[10] * 9000)
    needed, _ = cut(tokenizer, windows=10, length=100, protocol=protocol, sizes=[10] * served)
    np.testing.assert_array_equal(windows.tokens_NT, needed.tokens_NT)
    assert served < 60


def test_too_little_text_says_how_many_windows_there_are():
    tokenizer = TOKENIZERS["byte level, BOS"]
    found = len(packed_ids(tokenizer))
    with pytest.raises(
        RequestError, match=rf"sw of made: 999 windows .* \({found} tokens\) makes {found // 39}; ask for"
    ) as refusal:
        cut(tokenizer, windows=999)
    assert "ask for fewer (--windows) or shorter ones" in str(refusal.value)
    with pytest.raises(RequestError, match="makes 0; ask for shorter ones \\(--length\\), or give"):
        cut(TOKENIZERS["byte level, BOS"], protocol="published", sizes=[])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": "sliding"}, "no protocol 'sliding'; choose windows or published"),
        ({"windows": 0}, "leave nothing to predict"),
        ({"length": 1}, "leave nothing to predict"),
        ({"windows": 1, "length": 9999}, "1 window of 9999 tokens was asked for, but its text for evaluation"),
    ],
)
def test_requests_that_make_no_sense(changes, message):
    with pytest.raises(RequestError, match=message):
        cut(TOKENIZERS["byte level, BOS"], **changes)
