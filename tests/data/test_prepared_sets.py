"""Sets prepared with TensorFlow Datasets, as both formats that it reads without TensorFlow."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxprune.data import open_texts
from jaxprune.errors import RequestError
from tests.data.corpora import document

FORMATS = ("array_record", "parquet")


def prepare(data_dir, name, splits, *, file_format, config=None, version="1.0.0", field="text"):
    """Prepares a set as ``tfds build`` does."""

    def split_generators(self, manager):
        return {
            split: ((f"{split}{index}", {field: text, "n": index}) for index, text in enumerate(texts))
            for split, texts in splits.items()
        }

    def info(self):
        features = {field: tfds.features.Text(), "n": np.int32}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def get_metadata(cls):
        from tensorflow_datasets.core import dataset_metadata

        return dataset_metadata.DatasetMetadata(description="made", citation="", tags=[])

    members = {
        "name": name,
        "VERSION": tfds.core.Version(version),
        "_info": info,
        "_split_generators": split_generators,
        "_generate_examples": lambda self: iter(()),
        "get_metadata": classmethod(get_metadata),
        "__module__": __name__,
    }
    if config:
        members["BUILDER_CONFIGS"] = [tfds.core.BuilderConfig(name=config)]
    with tfds.core.registered.skip_registration():
        builder_class = type(name.title(), (tfds.core.GeneratorBasedBuilder,), members)
        builder_class(data_dir=data_dir, file_format=file_format, config=config).download_and_prepare()


def made(name, count):
    return [document((name, index), 4) for index in range(count)]


@pytest.fixture(scope="module", params=FORMATS)
def data_dir(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    splits = {"sw": made("sw", 40), "sw-validation": made("held out", 9), "de": made("de", 30)}
    prepare(folder, "many", splits, file_format=request.param, config="multilingual")
    splits = {"train": made("train", 21), "test": made("test", 8)}
    prepare(folder, "wiki", splits, file_format=request.param, config="sw")
    old = {"train": made("old", 3)}
    prepare(folder, "wiki", old, file_format=request.param, config="sw", version="0.9.0")
    prepare(folder, "plain", {"train": made("plain", 50)}, file_format=request.param)
    prepare(folder, "other", {"train": made("x", 2)}, file_format=request.param, field="body")
    return folder


def texts_of(reference, language, split, seed=None):
    return list(open_texts(reference).documents(language, split, seed=seed))


def test_languages_as_splits(data_dir):
    reference = f"tfds:many/multilingual@{data_dir}"
    assert open_texts(reference).languages() == ("de", "sw")
    assert sorted(texts_of(reference, "sw", "calibration")) == sorted(made("sw", 40))
    assert sorted(texts_of(reference, "sw", "evaluation")) == sorted(made("held out", 9))
    divided = [texts_of(reference, "de", split) for split in ("calibration", "evaluation")]
    assert all(divided)
    assert sorted(divided[0] + divided[1]) == sorted(made("de", 30))
    with pytest.raises(RequestError, match="has no en; it has de, sw"):
        open_texts(reference).documents("en", "calibration", seed=0)


def test_languages_as_configurations_of_which_the_newest_version_is_read(data_dir):
    reference = f"tfds:wiki/{{language}}@{data_dir}"
    assert open_texts(reference).languages() == ("sw",)
    assert sorted(texts_of(reference, "sw", "calibration")) == sorted(made("train", 21))
    assert sorted(texts_of(reference, "sw", "evaluation")) == sorted(made("test", 8))


def test_a_set_in_one_language_without_a_held_out_split(data_dir):
    reference = f"tfds:plain@{data_dir}"
    assert open_texts(reference).languages() is None
    calibration, evaluation = (texts_of(reference, "sw", split) for split in ("calibration", "evaluation"))
    assert len(calibration) > len(evaluation) > 0
    assert sorted(calibration + evaluation) == sorted(made("plain", 50))
    shuffled = texts_of(reference, "sw", "calibration", seed=2)
    assert shuffled != calibration
    assert sorted(shuffled) == sorted(calibration)
    assert shuffled == texts_of(reference, "sw", "calibration", seed=2)


def test_a_set_without_text(data_dir):
    with pytest.raises(RequestError, match=r"has no text in a field 'text'; it has body, n|it has n, body"):
        texts_of(f"tfds:other@{data_dir}", "sw", "calibration")
    with pytest.raises(RequestError, match="holds no prepared set"):
        texts_of(f"tfds:nosuch@{data_dir}", "sw", "calibration")


def copy_of_plain(tmp_path, **changes):
    prepare(tmp_path, "plain", {"train": made("plain", 3)}, file_format="parquet")
    folder = tmp_path / "plain" / "1.0.0"
    for name, change in changes.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(change(json.loads(path.read_text()))))
    return f"tfds:plain@{tmp_path}"


def test_features_that_would_import_foreign_code_are_refused(tmp_path):
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")

    def change(features):
        features["featuresDict"]["features"]["text"]["pythonClassName"] = "evil.Text"
        return features

    with pytest.raises(RequestError, match=r"asks to import evil\.Text"):
        texts_of(copy_of_plain(tmp_path, features=change), "sw", "calibration")
    assert "evil" not in sys.modules


def test_formats_that_need_tensorflow_are_refused(tmp_path):
    reference = copy_of_plain(tmp_path, dataset_info=lambda info: info | {"fileFormat": "tfrecord"})
    with pytest.raises(RequestError, match="stored as tfrecord, which only TensorFlow reads"):
        texts_of(reference, "sw", "calibration")


def test_without_the_extra_the_refusal_names_it(tmp_path, monkeypatch):
    reference = copy_of_plain(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(RequestError, match=r"pip install 'jaxprune\[tfds\]'"):
        texts_of(reference, "sw", "calibration")


def test_tensorflow_is_not_imported(data_dir):
    code = (
        "import sys; from jaxprune.data import open_texts\n"
        f"texts = list(open_texts('tfds:plain@{data_dir}').documents('sw', 'calibration', seed=0))\n"
        "assert texts and 'tensorflow' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
