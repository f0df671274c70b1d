"""Text in Markdown that is to be read as it stands: names that users give may hold what Markdown takes for marks."""

import re

_BREAK = re.compile(r"\s*[\n\r\v\f\x85\u2028\u2029]\s*")
_MARK = re.compile(
    r"[\\`*~]"
    # Within a word it is no mark.
    r"|(?<![^\W_])_|_(?![^\W_])"
    r"|<(?=[A-Za-z/!?])|&(?=#?\w+;)|\](?=[(\[:])"
    # What begins a heading, a quotation or a list; a minus is followed by its number.
    r"|\A[#>+-](?=\s)"
)


def plain(text: str) -> str:
    """Returns text on one line, each mark in it escaped."""
    return _MARK.sub(r"\\\g<0>", _BREAK.sub(" ", text))


def plain_caption(text: str) -> str:
    """Returns the same for what stands in brackets."""
    return re.sub(r"(?<!\\)[\[\]]", r"\\\g<0>", plain(text))


def plain_cell(text: str) -> str:
    """Returns the same for a cell of a table."""
    return plain(text).replace("|", r"\|")
