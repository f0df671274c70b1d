"""Figures as files, and as part of a page: whole or not there, equal for equal numbers, and legible on dark ground."""

import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from jaxprune.studies.figures.glyphs import supply_glyphs

KINDS = (".png", ".svg")

INK = "#000000"
"""What is drawn in it takes the colour of a page's text."""
PAPER = "#ffffff"
"""What is drawn in it takes the colour of a page's ground."""
# Numbers on coloured cells stay what they are, whatever the page.
DARK_TEXT, LIGHT_TEXT = "#101010", "#fafafa"

_SETTINGS: dict[Any, Any] = {"svg.hashsalt": "jaxprune", "svg.fonttype": "none"}


class NamedFigure(NamedTuple):
    """A figure to be written.

    Attributes:
      name: of its file, without kind.
      figure: of matplotlib.
      caption: what it shows, and how it is read.
    """

    name: str
    figure: Any
    caption: str


def save_figures(folder: Path, figures: Iterable[NamedFigure], *, kinds: Iterable[str] = (".png",)) -> None:
    """Writes each figure into ``folder``, under its name."""
    for of in figures:
        for kind in kinds:
            save_figure(of.figure, folder / f"{of.name}{kind}")


def save_figure(figure: Any, path: Path) -> None:
    """Writes a PNG or an SVG; it is complete or not there. Every text in it is read as it stands.

    Args:
      figure: of matplotlib.
    """
    import matplotlib

    _take_literally(figure)
    supply_glyphs(figure)
    kind = path.suffix.lower().removeprefix(".")
    partial = path.with_name(f".{path.name}.partial")
    try:
        with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
            # ``supply_glyphs`` has told it, once.
            warnings.filterwarnings("ignore", message=r"Glyph \d+")
            figure.savefig(partial, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _take_literally(figure: Any) -> None:
    """Keeps names that users give, which may hold a ``$``, from being set as mathematics.

    The powers that matplotlib writes at logarithmic axes are mathematics, and stay so.
    """
    from matplotlib.axis import Axis
    from matplotlib.text import Text
    from matplotlib.ticker import LogFormatter

    powers = {
        text
        for axis in figure.findobj(Axis)
        if isinstance(axis.get_major_formatter(), LogFormatter)
        for text in axis.get_ticklabels(which="both")
    }
    for text in figure.findobj(Text):
        if text not in powers:
            text.set_parse_math(False)


def id_prefix(path: Path) -> str:
    """Returns what the ids of an SVG begin with in a page, by which those of several are told apart."""
    return re.sub(r"[^a-z0-9]+", "-", path.stem.lower())


def inline_svg(path: Path, label: str) -> str:
    """Returns the SVG in ``path`` for use within a page: in the page's colours, its names kept apart from others.

    Args:
      label: what a screen reader says in place of the figure.
    """
    text = path.read_text(encoding="utf-8")
    svg = text[text.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    prefix = id_prefix(path)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    svg = svg.replace(INK, "currentColor").replace(PAPER, "var(--ground)")
    width = re.search(r'width="([0-9.]+)pt"', svg)
    points = float(width[1]) if width else 0.0
    svg = re.sub(r'\s(?:width|height)="[0-9.]+pt"', "", svg, count=2)
    safe = label.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    start = f'<svg role="img" aria-label="{safe}" fill="currentColor" style="--width: {points * 4 / 3:.0f}px"'
    return svg.replace("<svg", start, 1)
