"""Names that users give are read in Markdown as they were written; a parser of CommonMark judges."""

import pytest
from markdown_it import MarkdownIt

from jaxprune.studies.report.plain_text import plain, plain_caption
from jaxprune.studies.report.table import Table, markdown

NAMES = [
    "file:/data/*my*_own_/**x**.jsonl",
    "file:C:\\data\\`a`.jsonl",
    "_a_ and __b__ and a_b_c",
    "<b>bold</b> &lt; p < 0.001 & A&B;",
    "[x](y) and ![x](y) and [z]: w",
    "~~gone~~ ~too~",
    "# no heading",
    "> no quotation",
    "- no list",
    "a|b||c\\|d",
    "−0.5 to +0.3 [1, 2]",
]


def words(tokens):
    """Returns the text of tokens, and the kinds of all that are more than text."""
    inline = [token for token in tokens if token.type == "inline"]
    children = [child for token in inline for child in token.children]
    kinds = {child.type for child in children} - {"text", "text_special"}
    return "".join(child.content for child in children), kinds


@pytest.mark.parametrize("name", NAMES)
def test_marks_are_read_as_they_stand(name):
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(plain(name))
    assert {token.type for token in tokens} == {"paragraph_open", "inline", "paragraph_close"}
    assert words(tokens) == (name, set())


@pytest.mark.parametrize("name", [*NAMES, "a ] b", "[ c"])
def test_a_caption_ends_where_it_ends(name):
    tokens = MarkdownIt().parse(f"![{plain_caption(name)}](figures/a.png)")
    (image,) = tokens[1].children
    assert image.attrs["src"] == "figures/a.png"
    assert "".join(child.content for child in image.children) == name


def test_a_cell_stays_a_cell():
    table = Table("t", ["task", *NAMES], [[name, *NAMES] for name in NAMES])
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(markdown(table))
    cells = [words([token]) for token in tokens if token.type == "inline"]
    assert cells == [(name, set()) for name in ["task", *NAMES, *(of for name in NAMES for of in (name, *NAMES))]]


def test_lines_are_joined():
    assert plain("file:/a\nb \r\n  # c.jsonl") == "file:/a b # c.jsonl"
    assert plain("a  b") == "a  b"
