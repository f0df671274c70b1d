import collections
import hashlib
import struct

import numpy as np
import pytest

from jaxprune.data.calibration import draw_calibration, refuse_overlap
from jaxprune.data.sources import hash_document, seeded_order
from jaxprune.data.windows import evaluation_windows
from jaxprune.errors import RequestError
from tests.data.corpora import MadeTexts, byte_level, document, sentencepiece_like

SIZES = [5 + 3 * (index % 11) for index in range(60)]


def draw(fill="packed", tokenizer=None, mix=None, length=24, seed=0, sizes=SIZES):
    tokenizer = byte_level(bos=True) if tokenizer is None else tokenizer
    mix = {"de": 4, "en": 3} if mix is None else mix
    return draw_calibration(MadeTexts(sizes), tokenizer, mix, length=length, seed=seed, fill=fill)


@pytest.mark.parametrize(
    ("fill", "digest"),
    [
        ("packed", "233e5f5610f97019eac45fb0e1f17409803c7682acae92a265d8c1c1b081f60d"),
        ("document", "f6dd276db96ba8b4041b22093e4a74af2077e59a8a068a9d408e76920e0bb314"),
    ],
)
def test_the_same_seed_gives_the_same_ids_for_ever(fill, digest):
    calibration = draw(fill)
    assert calibration.account["sha256"] == digest
    assert draw(fill, seed=1).account["sha256"] != digest


@pytest.mark.parametrize("fill", ["packed", "document"])
def test_the_account_says_what_was_used(fill):
    calibration = draw(fill)
    ids = calibration.tokens_NT
    assert ids.dtype == np.int32
    assert ids.shape == (7, 24)
    assert calibration.languages == ("de",) * 4 + ("en",) * 3
    account = calibration.account
    assert account["texts"] == "made"
    assert (account["fill"], account["seed"], account["length"], account["sequences"]) == (fill, 0, 24, 7)
    assert account["sha256"] == hashlib.sha256(struct.pack("<168i", *ids.ravel().tolist())).hexdigest()
    assert list(account["languages"]) == ["de", "en"]
    assert account["languages"]["de"]["sequences"] == 4
    assert account["languages"]["de"]["tokens"] == 96
    assert account["languages"]["en"]["tokens"] == 72
    assert 1 <= account["languages"]["en"]["documents"] <= 3
    assert len(set(account["sequence_hashes"])) == 7


@pytest.mark.parametrize("make", [byte_level, sentencepiece_like])
@pytest.mark.parametrize("bos", [True, False])
def test_packed_windows_are_documents_end_to_end(make, bos):
    tokenizer = make(bos=bos)
    calibration = draw("packed", tokenizer, {"sw": 9}, length=31)
    texts = MadeTexts(SIZES).documents("sw", "calibration", seed=0)
    stream = [id for text in texts for id in tokenizer(text + "\n\n", add_special_tokens=False)["input_ids"]]
    width = 30 if bos else 31
    expected = [[tokenizer.bos_token_id] * bos + stream[i * width : (i + 1) * width] for i in range(9)]
    assert calibration.tokens_NT.tolist() == expected


def test_document_windows_lie_in_different_long_documents():
    tokenizer = byte_level(bos=True)
    calibration = draw("document", tokenizer, {"sw": 20}, length=120)
    wholes = [tokenizer(document(("sw", "calibration", index), size))["input_ids"] for index, size in enumerate(SIZES)]
    origins, begins = [], []
    for row in calibration.tokens_NT.tolist():
        found = [
            (number, begin)
            for number, whole in enumerate(wholes)
            for begin in range(len(whole) - 119)
            if whole[begin : begin + 120] == row
        ]
        assert len(found) == 1
        assert len(wholes[found[0][0]]) > 120
        origins.append(found[0][0])
        begins.append(found[0][1] / (len(wholes[found[0][0]]) - 120))
    assert len(set(origins)) == 20
    assert min(begins) < 0.3 < 0.7 < max(begins)
    assert calibration.account["languages"]["sw"]["documents"] == 20


def test_windows_begin_anywhere_in_a_document_with_equal_chance():
    tokenizer = byte_level(bos=True)
    text = "a" * 6  # 7 tokens with BOS: windows of 4 begin at 0, 1, 2 or 3

    class Same(MadeTexts):
        def documents(self, language, split, *, seed):
            return iter([text] * 400)

    rows = draw_calibration(Same([]), tokenizer, {"de": 400}, length=4, seed=0, fill="document").tokens_NT
    # Only the first of four places holds BOS.
    counts = collections.Counter(bool(row[0] == tokenizer.bos_token_id) for row in rows)
    assert 70 < counts[True] < 130


def test_languages_do_not_depend_on_each_other():
    both, alone = draw(mix={"de": 4, "en": 3}), draw(mix={"en": 3})
    np.testing.assert_array_equal(both.tokens_NT[4:], alone.tokens_NT)


def test_more_samples_begin_with_the_fewer():
    for fill in ("packed", "document"):
        few, many = draw(fill, mix={"en": 3}), draw(fill, mix={"en": 8})
        np.testing.assert_array_equal(many.tokens_NT[:3], few.tokens_NT)


def test_too_little_text_says_how_much_there_is():
    stream = sum(
        len(byte_level(bos=True)(document(("de", "calibration", index), 8) + "\n\n")["input_ids"]) - 1
        for index in range(3)
    )
    with pytest.raises(RequestError) as refusal:
        draw(sizes=[8] * 3, mix={"de": 50})
    message = str(refusal.value)
    assert "de of made: 50 sequences of 24 tokens" in message
    assert f"its 3 documents for calibration hold {stream} tokens, enough for {stream // 23}; ask for" in message
    assert "ask for fewer (--samples) or shorter ones" in message
    with pytest.raises(RequestError, match=r"only 0 of its 3 documents .* ask for shorter windows .*--fill packed"):
        draw("document", sizes=[8] * 3, mix={"de": 2}, length=500)
    with pytest.raises(
        RequestError, match="its 0 documents for calibration hold 0 tokens, enough for 0; ask for shorter"
    ):
        draw(sizes=[], mix={"de": 1})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fill": "sliding"}, "no fill 'sliding'; choose packed or document"),
        ({"seed": -1}, "seed is -1"),
        ({"length": 1}, "hold no text; ask for 2 or more"),
        ({"mix": {"de": 1, "fr": 1}}, "made has no fr; it has de, en, sw"),
    ],
)
def test_requests_that_make_no_sense(changes, message):
    with pytest.raises(RequestError, match=message):
        draw(**changes)


def test_only_as_many_documents_are_read_as_needed():
    source = MadeTexts([20] * 5000)
    draw_calibration(source, byte_level(bos=True), {"de": 8}, length=64, seed=0, fill="packed")
    assert source.served < 30


def test_a_window_that_was_calibrated_on_is_found():
    calibration = draw()
    other = draw(seed=9).tokens_NT
    refuse_overlap(other, (), calibration.account)
    refuse_overlap(other, ("0123456789abcdef",), {"texts": "an account without hashes"})
    mixed = np.concatenate([other[:2], calibration.tokens_NT[5:6]])
    with pytest.raises(RequestError, match=r"evaluation window 2 is calibration sequence 5 \(of made\)"):
        refuse_overlap(mixed, (), calibration.account)


@pytest.mark.parametrize("fill", ["packed", "document"])
def test_the_account_knows_its_documents_again(fill):
    calibration = draw(fill, mix={"de": 4, "en": 3})
    account = calibration.account
    known = {
        hash_document(document((language, "calibration", index), size)): (language, index)
        for language in ("de", "en")
        for index, size in enumerate(SIZES)
    }
    used = [known[name] for name in account["document_hashes"]]
    counts = {language: account["languages"][language]["documents"] for language in ("de", "en")}
    assert collections.Counter(language for language, _ in used) == counts
    # The first of the seeded order, as many as are needed, or those of them that are longer than a window.
    tokenizer = byte_level(bos=True)
    for language in ("de", "en"):
        order = seeded_order(len(SIZES), 0)
        if fill == "document":
            texts = {index: document((language, "calibration", index), SIZES[index]) for index in order}
            order = [index for index in order if len(tokenizer(texts[index])["input_ids"]) > 24]
        assert [index for of, index in used if of == language] == order[: counts[language]]


@pytest.mark.parametrize("protocol", ["windows", "published"])
def test_a_document_that_was_calibrated_on_is_found_wherever_it_lies_in_a_window(protocol):
    class Leaky(MadeTexts):
        """Text whose evaluation split has a calibration document behind its own, with other space around it."""

        def documents(self, language, split, *, seed):
            yield from super().documents(language, split, seed=seed)
            if split == "evaluation":
                order = seeded_order(len(self.sizes), 0)
                yield f"\n  {document((language, 'calibration', order[0]), self.sizes[order[0]])} "

    tokenizer = byte_level(bos=True)
    source = Leaky([12] * 20)
    account = draw_calibration(source, tokenizer, {"de": 2}, length=24, seed=0, fill="packed").account
    ask = {"length": 24, "protocol": protocol}
    few = evaluation_windows(source, tokenizer, "de", windows=3, **ask)
    refuse_overlap(few.tokens_NT, few.documents, account)
    room = sum(
        len(tokenizer(text + "\n\n")["input_ids"]) - 1 for text in source.documents("de", "evaluation", seed=None)
    )
    every = evaluation_windows(source, tokenizer, "de", windows=room // 24, **ask)
    assert len(every.documents) == 21
    with pytest.raises(RequestError, match=r"1 of the 21 documents to measure on served to calibrate .*\(from made\)"):
        refuse_overlap(every.tokens_NT, every.documents, account)
