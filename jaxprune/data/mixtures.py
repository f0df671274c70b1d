"""How many sequences each language gives to a calibration: ``de``, ``de,en``, ``de=96,en=32``."""

import re

from jaxprune.errors import RequestError

DEFAULT_SAMPLES = 128
_PART = re.compile(r"\s*(?P<language>[A-Za-z]+(?:[-_][A-Za-z0-9]+)*)\s*(?:=\s*(?P<count>[+-]?\d{1,9})\s*)?")


def parse_mix(text: str, samples: int | None) -> dict[str, int]:
    """Reads a mixture into sequences by language, in the order in which the languages are written.

    Args:
      text: languages alone share ``samples`` equally, the first ones taking what does not divide; with
        counts, the counts hold.
      samples: sequences in all; None: 128, or the sum of the counts.

    Raises:
      RequestError: anything else, a language named twice, a count below one, or a sum that differs from
        ``samples``.
    """
    parts = [_PART.fullmatch(part) for part in text.split(",")]
    found = [part for part in parts if part is not None]
    counted = [part for part in found if part["count"] is not None]
    if len(found) < len(parts) or (counted and len(counted) < len(found)):
        raise RequestError(
            f"the mixture {text!r} is not understood; write languages (de,en) or a count for each (de=96,en=32)."
        )
    languages = [part["language"] for part in found]
    repeated = sorted({language for language in languages if languages.count(language) > 1})
    if repeated:
        raise RequestError(f"the mixture {text!r} names {', '.join(repeated)} more than once; name each language once.")
    if counted:
        mix = {part["language"]: int(part["count"]) for part in found}
        total = sum(mix.values())
        if min(mix.values()) < 1:
            raise RequestError(
                f"the mixture {text!r} has a count below 1; leave out a language that gives no sequence."
            )
        if samples is not None and samples != total:
            raise RequestError(
                f"the mixture {text!r} adds up to {total} sequences, but --samples asks for {samples}; leave "
                "--samples out, or write the languages without counts."
            )
        return mix
    total = DEFAULT_SAMPLES if samples is None else samples
    share, left = divmod(total, len(languages))
    if share < 1:
        raise RequestError(
            f"{total} sequences cannot be shared by {len(languages)} languages; ask for more (--samples)."
        )
    return {language: share + (index < left) for index, language in enumerate(languages)}
