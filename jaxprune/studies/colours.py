"""One colour a language, the same in every figure.

Okabe and Ito's colours, which all common kinds of colour blindness tell apart; grey in place of their yellow, which is
faint on white.
"""

from collections.abc import Iterable

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#7F7F7F")

# English in black, as what others are compared with.
_LANGUAGES = dict(zip(("de", "es", "sw", "ru", "zh", "ja", "en", "ar"), PALETTE, strict=True))


def language_colours(names: Iterable[str]) -> dict[str, str]:
    """Returns a colour for each language or mixture: a language's own, and for others those that are left, in order."""
    names = list(dict.fromkeys(names))
    found = {name: _LANGUAGES[name] for name in names if name in _LANGUAGES}
    left = [colour for colour in PALETTE if colour not in found.values()] or list(PALETTE)
    others = [name for name in names if name not in found]
    return found | {name: left[index % len(left)] for index, name in enumerate(others)}
