"""Documents of one file: JSON lines, plain text, Parquet. Every complaint names the file and the line."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from jaxprune.errors import RequestError

FIELD = "text"


class Document(NamedTuple):
    """A text and the line (Parquet: row) on which it begins, counted from 1."""

    text: str
    line: int


def read_json_lines(path: Path) -> Iterator[Document]:
    """Reads one JSON object a line; blank lines are passed over."""
    for number, line in read_lines(path):
        if line.strip():
            yield Document(_text_of(path, number, line), number)


def read_paragraphs(path: Path) -> Iterator[Document]:
    """Reads plain text in which blank lines separate documents."""
    lines: list[str] = []
    begin = 0
    for number, line in read_lines(path):
        if line.strip():
            begin = begin if lines else number
            lines.append(line)
        elif lines:
            yield Document("\n".join(lines), begin)
            lines = []
    if lines:
        yield Document("\n".join(lines), begin)


def read_parquet(path: Path) -> Iterator[Document]:
    """Reads the text column, one batch of rows at a time."""
    import pyarrow
    import pyarrow.parquet

    row = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            columns = table.schema_arrow.names
            if FIELD not in columns:
                raise RequestError(f"{path} has no column {FIELD!r}; it has {', '.join(columns)}: rename one.")
            for batch in table.iter_batches(batch_size=1024, columns=[FIELD]):
                for text in batch.column(0).to_pylist():
                    row += 1
                    if not isinstance(text, str):
                        raise RequestError(
                            f"{path}, row {row}: {FIELD!r} is {type(text).__name__}, not a text; drop it."
                        )
                    yield Document(text, row)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise RequestError(
            f"{path} cannot be read as Parquet after row {row}: {_first_line(error)}; write it anew."
        ) from error


READERS: dict[str, Callable[[Path], Iterator[Document]]] = {
    "jsonl": read_json_lines,
    "jsonl.gz": read_json_lines,
    "txt": read_paragraphs,
    "parquet": read_parquet,
}
"""How a file's name ends -> how it is read."""


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Reads UTF-8 lines without their ends, numbered from 1; unpacks ``.gz``."""
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                # A byte order mark is how some editors begin UTF-8, and no part of the text.
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}, line {number}: not UTF-8 ({error.reason}); convert the file to UTF-8.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise RequestError(
            f"{path} cannot be read after line {number}: {_first_line(error)}; write it anew."
        ) from error


def _text_of(path: Path, number: int, line: str) -> str:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:  # ValueError also of a number with too many digits
        raise RequestError(
            f"{path}, line {number}: not a JSON object that can be read ({_first_line(error)}); write one on each line."
        ) from error
    if not isinstance(record, dict) or FIELD not in record:
        found = f"fields {', '.join(record) or 'none'}" if isinstance(record, dict) else f"a {type(record).__name__}"
        raise RequestError(f"{path}, line {number}: no field {FIELD!r}; found {found}. Rename the one that holds it.")
    text = record[FIELD]
    if not isinstance(text, str):
        raise RequestError(f"{path}, line {number}: {FIELD!r} is a {type(text).__name__}, not a text; drop the line.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RequestError(
            f"{path}, line {number}: {FIELD!r} is no valid Unicode ({error.reason}); drop the line."
        ) from error
    return text


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
