"""Letters that the figures' own font lacks, Chinese and Japanese above all, from other fonts of the machine."""

import functools
import logging
import unicodedata
from typing import Any

_OWN = "DejaVu Sans"
# A last resort has a box with a name for every letter.
_NOT_FOR_READING = ("Last Resort", "Mono", "Serif")

_logger = logging.getLogger(__name__)


def supply_glyphs(figure: Any) -> None:
    """Gives each text of a figure the fonts that its letters need; what no font has is told, once.

    Texts that the own font can write stay as they are, so that equal numbers make equal figures on every machine.

    Args:
      figure: of matplotlib.
    """
    from matplotlib.text import Text

    lacking: set[str] = set()
    for text in figure.findobj(Text):
        missing = [letter for letter in dict.fromkeys(text.get_text()) if not _has(_OWN, letter)]
        missing = [letter for letter in missing if unicodedata.category(letter)[0] not in "CZ"]
        if missing:
            fonts = _fonts_for(tuple(missing))
            text.set_fontfamily([_OWN, *fonts])
            lacking |= {letter for letter in missing if not any(_has(font, letter) for font in fonts)}
    if lacking:
        _tell("".join(sorted(lacking)))


@functools.cache
def _tell(letters: str) -> None:
    _logger.warning(
        "no font of this machine has %s, which PNG figures show as boxes; the page has them from the reader's fonts; "
        "install one that has them, such as Noto Sans CJK, and ask again",
        letters,
    )


@functools.cache
def _fonts_for(letters: tuple[str, ...]) -> list[str]:
    """Returns as few fonts as have all letters, or as many of them as there are."""
    fonts: list[str] = []
    for letter in letters:
        if not any(_has(font, letter) for font in fonts):
            fonts += [font for font in _installed() if _has(font, letter)][:1]
    return fonts


@functools.cache
def _installed() -> list[str]:
    """Returns the fonts that a figure may be read in, those without serifs first; the same order on equal machines."""
    from matplotlib.font_manager import fontManager

    # In other weights and widths a font would be found with a remark on the terminal.
    names = {of.name for of in fontManager.ttflist if (of.style, of.weight, of.stretch) == ("normal", 400, "normal")}
    return sorted(names, key=lambda name: (any(word in name for word in _NOT_FOR_READING), "Sans" not in name, name))


@functools.cache
def _has(font: str, letter: str) -> bool:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    if font.startswith("Last Resort"):
        return False
    return get_font(findfont(FontProperties(family=font))).get_char_index(ord(letter)) != 0
