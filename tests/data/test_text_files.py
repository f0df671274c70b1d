import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxprune.data import open_texts
from jaxprune.errors import RequestError
from tests.data.corpora import document

TEXTS = [document(index, 6) for index in range(60)]


def lines_of(texts):
    return "".join(json.dumps({"url": "u", "text": text}) + "\n" for text in texts).encode()


def write(folder, name, texts):
    path = folder / name
    if name.endswith(".jsonl"):
        path.write_bytes(lines_of(texts))
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(lines_of(texts)))
    elif name.endswith(".txt"):
        path.write_text("\n\n \n".join(texts) + "\n", encoding="utf-8")
    else:
        pq.write_table(pa.table({"n": range(len(texts)), "text": texts}), path, row_group_size=7)
    return path


def texts_of(folder, language, split, seed=None):
    return list(open_texts(f"files:{folder}").documents(language, split, seed=seed))


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "txt", "parquet"])
def test_a_whole_file_is_divided_in_the_same_way_whatever_holds_it(tmp_path, kind):
    write(tmp_path, f"sw.{kind}", TEXTS)
    write(tmp_path, "README.txt", ["not a language"])
    (tmp_path / "de").mkdir()
    source = open_texts(f"files:{tmp_path}")
    assert source.languages() == ("sw",)
    calibration, evaluation = texts_of(tmp_path, "sw", "calibration"), texts_of(tmp_path, "sw", "evaluation")
    assert set(calibration).isdisjoint(evaluation)
    assert sorted(calibration + evaluation) == sorted(TEXTS)
    assert calibration == [text for text in TEXTS if text in set(calibration)]
    assert 3 <= len(evaluation) <= 25
    shuffled = texts_of(tmp_path, "sw", "calibration", seed=3)
    assert shuffled != calibration
    assert sorted(shuffled) == sorted(calibration)
    assert shuffled == texts_of(tmp_path, "sw", "calibration", seed=3)
    assert shuffled != texts_of(tmp_path, "sw", "calibration", seed=4)


def test_copies_of_a_document_never_land_on_both_sides(tmp_path):
    write(tmp_path, "sw.jsonl", [*TEXTS, *(f" {text}\n" for text in reversed(TEXTS))])
    calibration = {text.strip() for text in texts_of(tmp_path, "sw", "calibration")}
    assert calibration.isdisjoint(text.strip() for text in texts_of(tmp_path, "sw", "evaluation"))


@pytest.mark.parametrize("names", [("train", "validation"), ("calibration", "evaluation"), ("train", "test")])
def test_splits_kept_apart_by_hand(tmp_path, names):
    write(tmp_path, f"zh-Latn.{names[0]}.jsonl", TEXTS[:40])
    write(tmp_path, f"zh-Latn.{names[1]}.txt", TEXTS[40:])
    assert texts_of(tmp_path, "zh-Latn", "calibration") == TEXTS[:40]
    assert texts_of(tmp_path, "zh-Latn", "evaluation") == TEXTS[40:]


def test_validation_measures_where_test_is_there_too(tmp_path):
    for name, texts in {"train": TEXTS[:10], "validation": TEXTS[10:20], "test": TEXTS[20:30]}.items():
        write(tmp_path, f"de.{name}.jsonl", texts)
    assert texts_of(tmp_path, "de", "evaluation") == TEXTS[10:20]


@pytest.mark.parametrize("split", ["calibration", "evaluation"])
def test_a_document_on_both_sides_is_named(tmp_path, split):
    train = write(tmp_path, "de.train.txt", [TEXTS[0], "one\nmore", TEXTS[1]])
    test = write(tmp_path, "de.test.jsonl", [TEXTS[2], TEXTS[1] + " "])
    with pytest.raises(RequestError) as refusal:
        texts_of(tmp_path, "de", split)
    # Two blank lines stand between documents: the third begins after 1 + 2 + 2 + 2 lines.
    assert f"{test}, line 2" in str(refusal.value)
    assert f"{train}, line 8" in str(refusal.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["en.jsonl"], "has no de; it has en"),
        (["de.jsonl", "de.txt"], "the same text twice over"),
        (["de.jsonl", "de.train.jsonl"], "stands beside"),
        (["de.train.jsonl", "de.calibration.txt"], "are both for calibration"),
        (["de.dev.jsonl"], "'dev' is no split; choose calibration, evaluation, test, train, validation"),
        (["de.test.jsonl"], r"has de.test.jsonl, but nothing for calibration; add de.calibration"),
    ],
)
def test_folders_that_are_refused(tmp_path, files, message):
    for name in files:
        write(tmp_path, name, TEXTS[:3])
    with pytest.raises(RequestError, match=message):
        texts_of(tmp_path, "de", "calibration")


BAD = {
    "broken": (b'{"text": "a"}\n{"text": \n', "line 2: not a JSON object"),
    "list": (b'{"text": "a"}\n\n["text"]\n', "line 3: no field 'text'; found a list"),
    "other field": (b'{"body": "a", "id": 3}\n', "line 1: no field 'text'; found fields body, id"),
    "number": (b'{"text": 3}\n', "line 1: 'text' is a int, not a text"),
    "null": (b'{"text": null}\n', "line 1: 'text' is a NoneType"),
    "latin-1": ('{"text": "a"}\n{"text": "schön"}\n'.encode("latin-1"), "line 2: not UTF-8"),
    "utf-16": ('{"text": "a"}'.encode("utf-16"), "line 1: not UTF-8"),
    "surrogate": (b'{"text": "a\\ud800"}\n', "line 1: 'text' is no valid Unicode"),
    "digits": (b'{"text": "a", "id": ' + b"9" * 5000 + b"}\n", "line 1: not a JSON object that can be read"),
    "nesting": (b"[" * 200_000, "line 1: not a JSON object"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_lines_are_named(tmp_path, case):
    content, message = BAD[case]
    (tmp_path / "de.jsonl").write_bytes(content)
    with pytest.raises(RequestError, match=message) as refusal:
        texts_of(tmp_path, "de", "calibration", seed=0)
    assert str(tmp_path / "de.jsonl") in str(refusal.value)


def test_bad_text_and_damaged_files_are_named(tmp_path):
    (tmp_path / "de.txt").write_bytes(b"gut\n\nsch\xf6n\n")
    with pytest.raises(RequestError, match=r"de\.txt, line 3: not UTF-8"):
        texts_of(tmp_path, "de", "calibration")
    packed = gzip.compress(lines_of(TEXTS))
    (tmp_path / "en.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(RequestError, match=r"en\.jsonl\.gz cannot be read after line \d+"):
        texts_of(tmp_path, "en", "calibration")
    (tmp_path / "sw.jsonl.gz").write_bytes(b"no gzip at all")
    with pytest.raises(RequestError, match=r"sw\.jsonl\.gz cannot be read after line 0"):
        texts_of(tmp_path, "sw", "calibration")
    (tmp_path / "ja.parquet").write_bytes(write(tmp_path, "zh.parquet", TEXTS).read_bytes()[:-30])
    with pytest.raises(RequestError, match=r"ja\.parquet cannot be read as Parquet"):
        texts_of(tmp_path, "ja", "calibration")
    pq.write_table(pa.table({"body": ["a"]}), tmp_path / "ru.parquet")
    with pytest.raises(RequestError, match=r"ru\.parquet has no column 'text'; it has body"):
        texts_of(tmp_path, "ru", "calibration")
    pq.write_table(pa.table({"text": ["a", None]}), tmp_path / "ar.parquet")
    with pytest.raises(RequestError, match=r"ar\.parquet, row 2: 'text' is NoneType"):
        texts_of(tmp_path, "ar", "calibration", seed=0)


def test_line_ends_and_byte_order_mark_are_no_text(tmp_path):
    text = "eins\r\nzwei\r\n\r\n\r\ndrei\r\n"
    (tmp_path / "de.train.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert texts_of(tmp_path, "de", "calibration") == ["eins\nzwei", "drei"]
