"""What a calibration takes beside English: text, memory, time, disk."""

import dataclasses
from collections.abc import Mapping

from jaxprune.studies.numbers.measured import Cell, Measured


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a calibration takes, and as a ratio to what English calibration takes; None where it was not measured.

    Of memory, the ratio is of the smallest peak to English calibration's largest, or the other way round, so that what
    seeds differ by is not told as a cost; one where their ranges meet.

    Of the work, the amount of text is compared, not the seconds: these have compilation in them and whatever else the
    machine did.
    """

    seconds: float | None
    text_ratio: float | None
    peak_bytes: float | None
    peak_ratio: float | None
    model_bytes: float | None


def cost_of(measured: Measured, cells: Mapping[str, Cell], name: str, english_name: str | None) -> Cost:
    """Returns what a calibration takes, and beside the English one how much that is."""
    cell, english = cells[name], cells.get(english_name or "")
    peak = cell.largest("peak_bytes")
    sequences = [sum(measured.mixtures[of].values()) for of in (name, english_name or "") if of in measured.mixtures]
    return Cost(
        seconds=cell.average("seconds", "prune"),
        text_ratio=sequences[0] / sequences[1] if english is not None and len(sequences) == 2 else None,
        peak_bytes=peak,
        peak_ratio=None if english is None else _ratio_beyond_seeds(cell, english, "peak_bytes"),
        model_bytes=cell.average("model_bytes"),
    )


def _ratio_beyond_seeds(first: Cell, second: Cell, *path: str) -> float | None:
    """Returns the ratio that is left of a number where its ranges over seeds are nearest; one where they meet."""
    (low, high), (low_of_second, high_of_second) = (
        (min(found, default=0.0), max(found, default=0.0)) for found in (first.every(*path), second.every(*path))
    )
    if not low or not low_of_second:
        return None
    return low / high_of_second if low > high_of_second else min(1.0, high / low_of_second)
