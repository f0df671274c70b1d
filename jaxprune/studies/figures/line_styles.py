"""How lines of prunings look: colour and mark say the languages, hollow marks mixtures, strokes how it was pruned."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxprune.studies.figures.colours import MANY, PALETTE, is_mixture, language_colours, mixed_languages
from jaxprune.studies.figures.files import INK, PAPER
from jaxprune.studies.points.grid import DENSE

# None is dotted: so is what chance gives.
_STROKES: tuple[Any, ...] = ("-", "--", "-.", (0, (7, 1.5, 1, 1.5, 1, 1.5)))
_MARKS = "osDhvPX*^"
# One a colour, so that a language has its own in every figure.
_MARK_OF: dict[str, str] = dict(zip((*PALETTE, MANY), _MARKS, strict=True))


class LineStyle(NamedTuple):
    """What tells a line from others, for readers who see no colours too.

    Attributes:
      stroke: matplotlib's line style.
      mark: matplotlib's; empty for none.
      face: colour inside the mark.
      width: of the line, in points.
    """

    colour: str
    stroke: Any
    mark: str
    face: str
    width: float

    @property
    def line(self) -> dict[str, Any]:
        """What ``Axes.plot`` takes."""
        return {
            "color": self.colour,
            "linestyle": self.stroke,
            "linewidth": self.width,
            "marker": self.mark,
            "markerfacecolor": self.face,
            "markersize": 4.5,
        }


def colourless_style(index: int) -> LineStyle:
    """Returns the style of the line of that number among lines that are not of languages."""
    return LineStyle(INK, _STROKES[index % len(_STROKES)], _MARKS[index % len(_MARKS)], INK, 1.4)


def line_styles(calibrations: Mapping[str, str]) -> dict[str, LineStyle]:
    """Returns the styles of lines by their names, whatever their order.

    A stroke says how something was pruned (``wanda`` of ``de · wanda``), a mark and a colour on which languages.

    Args:
      calibrations: by name, the language or mixture that decides on the colour; ``dense`` is in the colour of the text.
    """
    colours = language_colours(key for key in calibrations.values() if key != DENSE)
    marks = _marks(colours)
    strokes = _numbered(_how(name, key) for name, key in calibrations.items() if key != DENSE)
    styles: dict[str, LineStyle] = {}
    for name, key in calibrations.items():
        if key == DENSE:
            styles[name] = LineStyle(INK, "-", "", INK, 2.8)
            continue
        stroke = _STROKES[strokes[_how(name, key)] % len(_STROKES)]
        styles[name] = LineStyle(colours[key], stroke, marks[key], PAPER if is_mixture(key) else colours[key], 1.4)
    return styles


def _marks(colours: Mapping[str, str]) -> dict[str, str]:
    """Returns the mark of each calibration: its colour's; of several alike, others have those that are left."""
    found: dict[str, str] = {}
    taken: set[tuple[str, bool]] = set()
    left = [mark for colour, mark in _MARK_OF.items() if colour not in colours.values()] or list(_MARKS)
    for key in sorted(colours, key=lambda key: (len(mixed_languages(key)), key)):
        look = (colours[key], is_mixture(key))
        found[key] = _MARK_OF[colours[key]] if look not in taken else left[0]
        if look in taken:
            left.append(left.pop(0))
        taken.add(look)
    return found


def _how(name: str, calibration: str) -> str:
    """Returns what a name says beside the calibration; the later of two methods in the alphabet is drawn through."""
    return name.removeprefix(calibration)


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: index for index, name in enumerate(sorted(set(names), reverse=True))}


def calibration_of(names: Sequence[str]) -> dict[str, str]:
    """Returns by name what decides on its colour: what stands before `` · ``."""
    return {name: name.split(" · ")[0] for name in names}
