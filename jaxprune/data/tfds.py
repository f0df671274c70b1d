"""``tfds:NAME@DATA_DIR``: folders that TensorFlow Datasets prepared, read without TensorFlow."""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxprune.data.sources import (
    HELD_OUT,
    LANGUAGE_CODE,
    Split,
    check_languages,
    choose_stored,
    divide,
    seeded_order,
)
from jaxprune.errors import RequestError

_PLACE = "{language}"
_FIELD = "text"


@dataclasses.dataclass(frozen=True)
class PreparedTexts:
    """A set prepared as ``array_record`` or Parquet; its field ``text`` is read.

    Languages are where the name holds ``{language}`` (splits train, and validation or test), or are splits
    themselves (``c4/multilingual``: ``sw``, ``sw-validation``); else the set is one text in one language.
    Without a held-out split, the text is divided by content (``sources.split_of``), since Parquet readers of
    TensorFlow Datasets ignore sub-splits.

    Attributes:
      name: set and configuration, as its folder is called under ``data_dir``.
      data_dir: the folder of prepared sets.
    """

    name: str
    data_dir: Path

    @classmethod
    def parse(cls, rest: str) -> "PreparedTexts":
        """Reads ``NAME@DATA_DIR``."""
        name, _, folder = rest.partition("@")
        if not name or not folder:
            raise RequestError(f"'tfds:{rest}' is incomplete; write tfds:NAME@DATA_DIR.")
        if not Path(folder).expanduser().is_dir():
            raise RequestError(f"tfds:{rest}: there is no folder {folder!r}; check the path.")
        return cls(name, Path(folder).expanduser())

    @property
    def reference(self) -> str:
        """What the user wrote."""
        return f"tfds:{self.name}@{self.data_dir}"

    def languages(self) -> tuple[str, ...] | None:
        """Returns the languages among the folders or the splits."""
        if _PLACE in self.name:
            return tuple(sorted(self._languages_of_folders()))
        named = sorted(_languages_of_splits(self._open(self.name).info.splits))
        return tuple(named) or None

    def documents(self, language: str, split: Split, *, seed: int | None) -> Iterator[str]:
        """Returns a split's documents; a seed orders all of them."""
        check_languages(self, [language])
        builder = self._open(self.name.replace(_PLACE, language))
        splits = builder.info.splits
        if language in _languages_of_splits(splits):
            held_out = [f"{language}-{name}" for name in HELD_OUT]
            chosen, whole = choose_stored(splits, split, training=language, held_out=held_out)
        else:
            chosen, whole = choose_stored(splits, split)
        texts = self._texts(builder, chosen, seed)
        return divide(texts, split) if whole else texts

    def _texts(self, builder: Any, split: str, seed: int | None) -> Iterator[str]:
        try:
            rows = builder.as_data_source(split=split)
        except (NotImplementedError, ImportError) as error:
            raise RequestError(
                f"{self.reference} is stored as {builder.info.file_format.value}, which only TensorFlow "
                "reads; prepare it with --file_format=array_record."
            ) from error
        order = range(len(rows)) if seed is None else seeded_order(len(rows), seed)
        for index in order:
            try:
                yield rows[index][_FIELD].decode()
            except UnicodeDecodeError as error:
                raise RequestError(
                    f"{self.reference}, split {split}, row {index}: not UTF-8; prepare it anew."
                ) from error

    def _open(self, name: str) -> Any:
        folder = _newest_version(self.data_dir / name)
        if folder is None:
            raise RequestError(
                f"{self.reference}: {self.data_dir / name} holds no prepared set; give DATA_DIR as it was "
                "given to TensorFlow Datasets, and NAME as set or set/config."
            )
        _refuse_foreign_features(folder / "features.json")
        try:
            import tensorflow_datasets
        except ImportError as error:
            raise RequestError(
                f"{self.reference} needs TensorFlow Datasets, which is not installed; pip install 'jaxprune[tfds]'."
            ) from error
        try:
            builder = tensorflow_datasets.builder_from_directory(folder)
        except (ValueError, OSError, AssertionError) as error:
            raise RequestError(
                f"{self.reference} cannot be opened: {str(error).splitlines()[0]}; prepare it anew."
            ) from error
        features = builder.info.features
        fields = features if isinstance(features, tensorflow_datasets.features.FeaturesDict) else {}
        if _FIELD not in fields or not isinstance(fields[_FIELD], tensorflow_datasets.features.Text):
            raise RequestError(
                f"{self.reference} has no text in a field {_FIELD!r}; it has {', '.join(fields) or features}. "
                "Prepare it with one of that name."
            )
        return builder

    def _languages_of_folders(self) -> Iterator[str]:
        before, after = self.name.split(_PLACE, 1)
        parent, _, start = before.rpartition("/")
        end, _, _ = after.partition("/")
        pattern = re.compile(re.escape(start) + f"({LANGUAGE_CODE})" + re.escape(end))
        folder = self.data_dir / parent
        for path in folder.iterdir() if folder.is_dir() else ():
            match = pattern.fullmatch(path.name)
            if match and _newest_version(self.data_dir / self.name.replace(_PLACE, match[1])):
                yield match[1]


def _languages_of_splits(splits: Mapping[str, Any]) -> set[str]:
    """Returns the languages if every split is one, perhaps with ``-validation`` or ``-test`` behind it."""
    names = {re.sub(f"-({'|'.join(HELD_OUT)})$", "", name) for name in splits}
    return names if all(re.fullmatch(LANGUAGE_CODE, name) for name in names) else set()


def _newest_version(folder: Path) -> Path | None:
    """Returns the folder itself if it is prepared, else its highest version."""
    if (folder / "features.json").is_file():
        return folder
    versions = [
        path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if re.fullmatch(r"\d+\.\d+\.\d+", path.name) and (path / "features.json").is_file()
    ]
    return max(versions, key=lambda path: tuple(map(int, path.name.split("."))), default=None)


def _refuse_foreign_features(path: Path) -> None:
    """Refuses features outside TensorFlow Datasets: opening a set imports whatever module this file names."""

    def class_names(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key in ("pythonClassName", "python_class_name", "type") and isinstance(inner, str):
                    yield inner
                yield from class_names(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from class_names(inner)

    try:
        foreign = [name for name in class_names(json.loads(path.read_bytes())) if "." in name]
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(f"{path} cannot be read: {error}; prepare the set anew.") from error
    foreign = [name for name in foreign if not name.startswith("tensorflow_datasets.core.")]
    if foreign:
        raise RequestError(
            f"{path} asks to import {foreign[0]}, which is not part of TensorFlow Datasets; this is not "
            "done: prepare the set with features of its own."
        )
