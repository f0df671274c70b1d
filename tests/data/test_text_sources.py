import pytest

from jaxprune.data import SOURCES, TextSource, open_texts
from jaxprune.data.sources import check_languages, choose_stored, divide, seeded_order, split_of
from jaxprune.errors import RequestError
from tests.data.corpora import MadeTexts, document


def test_seeded_order_is_a_permutation_that_never_changes():
    assert sorted(seeded_order(50, 7)) == list(range(50))
    assert seeded_order(8, 0) == [7, 4, 3, 2, 6, 0, 5, 1]
    assert seeded_order(8, 0) != seeded_order(8, 1)


def test_one_document_in_five_measures_and_copies_stay_together():
    documents = [document(index, 5) for index in range(2000)]
    evaluation = [text for text in documents if split_of(text) == "evaluation"]
    assert 330 < len(evaluation) < 470  # 400 expected, 18 a standard deviation
    assert all(split_of(f"\n {text}  ") == split_of(text) for text in documents[:50])
    assert split_of("Habari ya asubuhi") == "calibration"
    assert split_of("Guten Morgen 3") == "evaluation"
    calibration = list(divide(documents, "calibration"))
    assert set(calibration).isdisjoint(evaluation)
    assert len(calibration) + len(evaluation) == len(documents)


@pytest.mark.parametrize(
    ("stored", "calibration", "evaluation"),
    [
        (["train", "validation", "test"], ("train", False), ("validation", False)),
        (["test", "train"], ("train", False), ("test", False)),
        (["train"], ("train", True), ("train", True)),
        (["train", "extra"], ("train", True), ("train", True)),
        (["dev", "devtest"], ("dev", True), ("dev", True)),
        (["validation", "test"], ("validation", True), ("validation", True)),
    ],
)
def test_stored_splits(stored, calibration, evaluation):
    assert choose_stored(stored, "calibration") == calibration
    assert choose_stored(stored, "evaluation") == evaluation


def test_missing_language_lists_those_there_are():
    with pytest.raises(RequestError, match=r"made has no fr, xx; it has de, en, sw; ask for what it has"):
        check_languages(MadeTexts([1]), ["de", "fr", "xx"])


def test_one_text_serves_one_language():
    check_languages(MadeTexts([1], languages=None), ["de"])
    with pytest.raises(RequestError, match="one text in one language, but de, en"):
        check_languages(MadeTexts([1], languages=None), ["de", "en"])


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("fils:/tmp", "Did you mean files"),
        ("wikipedia", "there is no kind of text 'wikipedia'"),
        ("mc4:de", "takes nothing after a colon"),
        ("sample:bible", "takes nothing after a colon"),
        ("files:", "there is no folder"),
        ("files:does/not/exist", "there is no folder"),
        ("tokens:ids.npy", "holds token ids"),
        ("dataset:", "incomplete"),
        ("dataset:a/b:", "incomplete"),
        ("dataset:a/b#", "incomplete"),
        ("dataset:./nowhere", "no folder"),
        ("tfds:c4", "incomplete"),
        ("tfds:c4@nowhere", "no folder"),
        ("", "there is no kind of text ''"),
    ],
)
def test_references_that_are_refused(reference, message):
    with pytest.raises(RequestError, match=message):
        open_texts(reference)


def test_a_bare_folder_is_explained(tmp_path):
    with pytest.raises(RequestError, match=f"write files:{tmp_path}"):
        open_texts(str(tmp_path))


def test_every_kind_opens_without_reading(tmp_path):
    references = {
        "mc4": "mc4",
        "dataset": "dataset:some/set:{language}#body",
        "tfds": f"tfds:c4/multilingual@{tmp_path}",
        "files": f"files:{tmp_path}",
        "sample": "sample",
    }
    assert set(references) == set(SOURCES)
    for reference in references.values():
        source = open_texts(reference)
        assert isinstance(source, TextSource)
        assert source.reference == reference
