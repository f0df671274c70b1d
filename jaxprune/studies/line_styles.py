"""How the lines of prunings look: colours are languages, hollow marks mixtures, and the dense model is a thick line."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxprune.studies.colours import is_mixture, language_colours
from jaxprune.studies.figure_files import INK, PAPER

DENSE = "dense"

# Lines of one colour get other strokes, and every line its own mark. None is dotted: so is what chance gives.
_STROKES: tuple[Any, ...] = ("-", "--", "-.", (0, (7, 1.5, 1, 1.5, 1, 1.5)))
_MARKS = "osD^vPX*"


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
    """Returns the styles of lines by their names.

    Args:
      calibrations: by name, the language or mixture that decides on the colour; ``dense`` is in the colour of the text.
    """
    colours = language_colours(key for key in calibrations.values() if key != DENSE)
    styles: dict[str, LineStyle] = {}
    for index, (name, key) in enumerate(calibrations.items()):
        if key == DENSE:
            styles[name] = LineStyle(INK, "-", "", INK, 2.8)
            continue
        colour, hollow = colours[key], is_mixture(key)
        alike = [
            other for other in styles if colours.get(calibrations[other]) == colour
            and is_mixture(calibrations[other]) == hollow
        ]  # fmt: skip
        stroke, mark = _STROKES[len(alike) % len(_STROKES)], _MARKS[index % len(_MARKS)]
        styles[name] = LineStyle(colour, stroke, mark, PAPER if hollow else colour, 1.4)
    return styles


def calibration_of(names: Sequence[str]) -> dict[str, str]:
    """Returns by name what decides on its colour: what stands before `` · ``."""
    return {name: name.split(" · ")[0] for name in names}
