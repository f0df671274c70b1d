"""``files:FOLDER``: one file a language (``sw.jsonl``), or one a language and split (``sw.train.txt``)."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from jaxprune.data.sources import LANGUAGE_CODE, Split, check_languages, content_digest, divide, seeded_order
from jaxprune.data.text_files import READERS, Document
from jaxprune.errors import RequestError

# Later names serve only where the earlier ones are missing: a folder with all three usual splits is measured
# on validation.
_SPLIT_NAMES: dict[Split, tuple[tuple[str, ...], ...]] = {
    "calibration": (("calibration", "train"),),
    "evaluation": (("evaluation", "validation"), ("test",)),
}
_FILE_NAME = re.compile(
    rf"(?P<language>{LANGUAGE_CODE})(?:\.(?P<split>[^.]+))?\.(?P<kind>{'|'.join(map(re.escape, READERS))})"
)


@dataclasses.dataclass(frozen=True)
class FileTexts:
    """Text files of a folder, named by language.

    ``{language}.jsonl``, ``.jsonl.gz`` and ``.parquet`` hold documents in the field ``text``; in ``.txt``
    blank lines separate documents. Such a file is divided by content (``sources.split_of``).
    ``{language}.{split}.*`` keeps splits apart by hand: train or calibration, and validation, evaluation or
    test; then a document in both is an error.
    """

    folder: Path

    @classmethod
    def parse(cls, rest: str) -> "FileTexts":
        """Opens the folder named after ``files:``."""
        folder = Path(rest).expanduser()
        if not rest or not folder.is_dir():
            raise RequestError(f"files:{rest}: there is no folder {rest!r}; write files:FOLDER.")
        return cls(folder)

    @property
    def reference(self) -> str:
        """What the user wrote."""
        return f"files:{self.folder}"

    def languages(self) -> tuple[str, ...]:
        """Returns the languages that file names begin with."""
        return tuple(sorted({match["language"] for match, _ in self._files()}))

    def documents(self, language: str, split: Split, *, seed: int | None) -> Iterator[str]:
        """Returns a split's documents; a seeded order holds them all in memory."""
        check_languages(self, [language])
        by_split = self._by_split(language)
        if None in by_split:
            texts = divide((document.text for document in _read(by_split[None])), split)
        else:
            paths: dict[Split, Path | None] = {name: _choose(by_split, name) for name in _SPLIT_NAMES}
            path = paths[split]
            if path is None:
                allowed = [name for group in _SPLIT_NAMES[split] for name in group]
                raise RequestError(
                    f"{self.reference} has {', '.join(sorted(p.name for p in by_split.values()))}, but "
                    f"nothing for {split}; add {language}.{allowed[0]}.*, or give one {language}.* without "
                    "splits, which is divided for you."
                )
            _refuse_common_documents(paths["calibration"], paths["evaluation"])
            texts = (document.text for document in _read(path))
        if seed is None:
            return texts
        held = list(texts)
        return (held[index] for index in seeded_order(len(held), seed))

    def _files(self) -> list[tuple[re.Match[str], Path]]:
        matches = ((_FILE_NAME.fullmatch(path.name), path) for path in sorted(self.folder.iterdir()))
        return [(match, path) for match, path in matches if match and path.is_file()]

    def _by_split(self, language: str) -> dict[str | None, Path]:
        """Returns the language's files by the split in their name; the key None stands for the whole."""
        known = {name for groups in _SPLIT_NAMES.values() for group in groups for name in group}
        found: dict[str | None, Path] = {}
        for match, path in self._files():
            if match["language"] != language:
                continue
            split = match["split"]
            if split is not None and split not in known:
                raise RequestError(f"{path}: {split!r} is no split; choose {', '.join(sorted(known))}.")
            if split in found:
                raise RequestError(f"{found[split]} and {path} are the same text twice over; keep one of them.")
            found[split] = path
        if None in found and len(found) > 1:
            apart = next(path for split, path in found.items() if split is not None)
            raise RequestError(
                f"{found[None]} stands beside {apart}; keep one file that is divided for you, or one for each split."
            )
        return found


def _read(path: Path) -> Iterator[Document]:
    match = _FILE_NAME.fullmatch(path.name)
    assert match is not None
    return READERS[match["kind"]](path)


def _choose(by_split: dict[str | None, Path], split: Split) -> Path | None:
    for group in _SPLIT_NAMES[split]:
        present = [by_split[name] for name in group if name in by_split]
        if len(present) > 1:
            raise RequestError(f"{present[0]} and {present[1]} are both for {split}; keep one of them.")
        if present:
            return present[0]
    return None


def _refuse_common_documents(calibration: Path | None, evaluation: Path | None) -> None:
    if calibration is None or evaluation is None:
        return
    lines: dict[bytes, int] = {}
    for document in _read(calibration):
        if document.text.strip():
            lines.setdefault(content_digest(document.text)[:16], document.line)
    for document in _read(evaluation):
        line = lines.get(content_digest(document.text)[:16])
        if line is not None:
            raise RequestError(
                f"{evaluation}, line {document.line}: the same document is in {calibration}, line {line}; "
                "calibration and evaluation must not overlap, so remove it from one of them."
            )
