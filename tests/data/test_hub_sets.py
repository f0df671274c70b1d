"""Sets that ``datasets`` reads. The hub is out of reach for tests: folders of the same layout stand for "
"repositories."""

import gzip
import json
import time

import datasets
import pytest

from jaxprune.data import open_texts
from jaxprune.data.huggingface import DatasetTexts, mc4
from jaxprune.errors import RequestError
from tests.data.corpora import document

README = """---
configs:
- config_name: en
  data_files:
  - split: train
    path: en/c4-train.*.json.gz
  - split: validation
    path: en/c4-validation.*.json.gz
- config_name: en.noblocklist
  data_files:
  - split: train
    path: en/c4-train.*.json.gz
- config_name: realnewslike
  data_files:
  - split: train
    path: en/c4-train.*.json.gz
- config_name: sw
  data_files:
  - split: train
    path: multilingual/c4-sw.tfrecord-*.json.gz
  - split: validation
    path: multilingual/c4-sw-validation.tfrecord-*.json.gz
- config_name: bg-Latn
  data_files:
  - split: train
    path: multilingual/c4-sw.tfrecord-*.json.gz
---
"""


def write_rows(path, texts, field="text"):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "".join(json.dumps({field: text, "timestamp": "t", "url": "u"}) + "\n" for text in texts).encode()
    path.write_bytes(gzip.compress(rows) if path.suffix == ".gz" else rows)


def made(name, count):
    return [document((name, index), 5) for index in range(count)]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def c4(tmp_path_factory):
    """A folder laid out as allenai/c4 is on the hub."""
    folder = tmp_path_factory.mktemp("hub") / "c4"
    write_rows(folder / "multilingual/c4-sw.tfrecord-00000-of-00002.json.gz", made("sw", 30))
    write_rows(folder / "multilingual/c4-sw.tfrecord-00001-of-00002.json.gz", made("sw more", 30))
    write_rows(folder / "multilingual/c4-sw-validation.tfrecord-00000-of-00001.json.gz", made("held out", 9))
    write_rows(folder / "en/c4-train.00000-of-01024.json.gz", made("en", 20))
    write_rows(folder / "en/c4-validation.00000-of-00008.json.gz", made("en held out", 5))
    (folder / "README.md").write_text(README)
    return folder


def test_mc4_reads_one_configuration_a_language(c4, capfd):
    source = mc4(str(c4))
    assert source.reference == "mc4"
    assert source.languages() == ("bg-Latn", "en", "sw")
    assert list(source.documents("sw", "calibration", seed=None)) == made("sw", 30) + made("sw more", 30)
    assert list(source.documents("sw", "evaluation", seed=None)) == made("held out", 9)
    assert list(source.documents("en", "calibration", seed=None)) == made("en", 20)
    assert list(source.documents("en", "evaluation", seed=None)) == made("en held out", 5)
    assert capfd.readouterr() == ("", "")


def test_a_seed_shuffles_the_stream_repeatably(c4):
    first, again, other = (list(mc4(str(c4)).documents("sw", "calibration", seed=seed)) for seed in (5, 5, 6))
    assert first == again
    assert first != other
    assert sorted(first) == sorted(made("sw", 30) + made("sw more", 30))


def test_the_public_mc4_is_the_one_on_the_hub():
    assert open_texts("mc4") == mc4("allenai/c4")


def test_a_missing_language_lists_those_there_are(c4):
    with pytest.raises(RequestError, match="mc4 has no de; it has bg-Latn, en, sw"):
        mc4(str(c4)).documents("de", "calibration", seed=0)


def test_without_the_hub_the_refusal_is_quick_and_says_what_to_use(capfd):
    start = time.perf_counter()
    with pytest.raises(RequestError) as refusal:
        open_texts("mc4").documents("sw", "calibration", seed=0)
    assert time.perf_counter() - start < 8
    message = str(refusal.value)
    assert "mc4: this machine cannot reach the hub" in message
    assert "files:FOLDER" in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_a_name_that_cannot_be_a_repository():
    with pytest.raises(RequestError, match="neither a folder nor a hub id"):
        next(open_texts("dataset:no/such/folder").documents("de", "calibration", seed=None))


def test_configuration_names_may_hold_more_than_the_language(tmp_path):
    write_rows(tmp_path / "a.jsonl", made("a", 4), field="body")
    names = ("v2.sw.x", "v2.zh-TW.x", "v1.de.x", "v2.german.x")
    configs = "".join(f"- config_name: {name}\n  data_files: a.jsonl\n" for name in names)
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    source = open_texts(f"dataset:{tmp_path}:v2.{{language}}.x#body")
    assert source.languages() == ("sw", "zh-TW")
    divided = [list(source.documents("sw", split, seed=None)) for split in ("calibration", "evaluation")]
    assert sorted(divided[0] + divided[1]) == sorted(made("a", 4))


def test_a_set_without_a_held_out_split_is_divided(tmp_path):
    write_rows(tmp_path / "all.jsonl", made("all", 60))
    source = open_texts(f"dataset:{tmp_path}")
    assert source.languages() is None
    for seed in (None, 3):
        calibration = list(source.documents("de", "calibration", seed=seed))
        evaluation = list(source.documents("de", "evaluation", seed=seed))
        assert sorted(calibration + evaluation) == sorted(made("all", 60))
        assert len(calibration) > len(evaluation) > 0


def test_what_save_to_disk_wrote(tmp_path):
    train, test = (datasets.Dataset.from_dict({"text": made(name, 12)}) for name in ("train", "test"))
    datasets.DatasetDict({"train": train, "test": test}).save_to_disk(tmp_path / "apart")
    train.save_to_disk(tmp_path / "whole")
    apart = DatasetTexts(name=str(tmp_path / "apart"), reference="apart")
    assert list(apart.documents("de", "evaluation", seed=None)) == made("test", 12)
    assert sorted(apart.documents("de", "calibration", seed=1)) == sorted(made("train", 12))
    whole = DatasetTexts(name=str(tmp_path / "whole"), reference="whole")
    divided = [list(whole.documents("de", split, seed=None)) for split in ("calibration", "evaluation")]
    assert sorted(divided[0] + divided[1]) == sorted(made("train", 12))


def test_fields_that_hold_no_text(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"body": "a", "id": 3}\n' * 30)
    with pytest.raises(RequestError, match="has no field 'text'; it has body, id"):
        list(open_texts(f"dataset:{tmp_path}").documents("de", "calibration", seed=None))
    with pytest.raises(RequestError, match="the field 'id' holds a int, not a text"):
        list(open_texts(f"dataset:{tmp_path}#id").documents("de", "calibration", seed=None))


def test_what_cannot_be_read_is_refused(tmp_path, c4):
    with pytest.raises(RequestError, match="cannot be opened"):
        open_texts(f"dataset:{c4}:nosuch").documents("de", "calibration", seed=None)
    with pytest.raises(RequestError, match="cannot be opened"):
        open_texts(f"dataset:{c4}").documents("de", "calibration", seed=None)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(RequestError, match="cannot be opened"):
        open_texts(f"dataset:{empty}").documents("de", "calibration", seed=None)
    broken = tmp_path / "broken"
    write_rows(broken / "a.json.gz", made("a", 400))
    (broken / "a.json.gz").write_bytes((broken / "a.json.gz").read_bytes()[:-2000])
    with pytest.raises(RequestError, match=r"cannot be (opened|read)"):
        list(open_texts(f"dataset:{broken}").documents("de", "calibration", seed=None))


def test_code_in_a_repository_is_never_run(tmp_path):
    folder = tmp_path / "scripted"
    folder.mkdir()
    (folder / "scripted.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    with pytest.raises(RequestError):
        list(open_texts(f"dataset:{folder}").documents("de", "calibration", seed=None))
    assert not (tmp_path / "ran").exists()
