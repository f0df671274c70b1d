"""One colour a language, the same in every figure, which its mixtures with English have too: hollow marks tell them.

Okabe and Ito's colours, which all common kinds of colour blindness tell apart; grey in place of their yellow, which is
faint on white. Mixtures of three languages and more have a colour that no language has.
"""

import re
from collections.abc import Iterable

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#7F7F7F")

MANY = "#882255"
"""Of mixtures of three languages or more: Tol's wine, darker than all of the palette but black."""

# English in black, as what others are compared with.
_LANGUAGES: dict[str, str] = dict(zip(("de", "es", "sw", "ru", "zh", "ja", "en", "ar"), PALETTE, strict=True))


_MIXED = re.compile(r"[a-z]{2,3}(-[A-Za-z]+)?(=\d+)?([,+][a-z]{2,3}(-[A-Za-z]+)?(=\d+)?)+")


def mixed_languages(name: str) -> list[str]:
    """Returns the languages of ``de,en``, ``de=3,en=1`` or ``de+en``; of a name that is no mixture, itself."""
    return [part.partition("=")[0] for part in re.split("[,+]", name)] if is_mixture(name) else [name]


def is_mixture(name: str) -> bool:
    """Whether a name is of several languages."""
    return _MIXED.fullmatch(name) is not None


def language_colours(names: Iterable[str]) -> dict[str, str]:
    """Returns a colour for each language or mixture.

    A language has its own, a mixture of two that of the first that is not English, a larger one that of all such.
    Names of which none is known have those that are left, in order.
    """
    names = list(dict.fromkeys(names))
    found = {}
    for name in names:
        mixed = mixed_languages(name)
        known = [language for language in mixed if language in _LANGUAGES]
        if len(mixed) > 2:
            found[name] = MANY
        elif known:
            found[name] = _LANGUAGES[next((language for language in known if language != "en"), known[0])]
    left = [colour for colour in PALETTE if colour not in found.values()] or list(PALETTE)
    others = [name for name in names if name not in found]
    return found | {name: left[index % len(left)] for index, name in enumerate(others)}
