"""What a study's figures of error by depth show: signal-to-noise ratios by block, under two calibrations."""

import math
from collections.abc import Iterator

from jaxprune.studies.answers.criterion import alone
from jaxprune.studies.figures.depth import Panel
from jaxprune.studies.numbers.measured import Setting
from jaxprune.studies.numbers.snr import ReadRatio, blocks, energy, median_token, without_interval
from jaxprune.studies.report.summary import Summary


def depth_panels(summary: Summary, setting: Setting) -> Iterator[tuple[str, list[Panel], str]]:
    """Gives the figures of a setting: a name, the panels, and the caption.

    That of the median token comes first, since no few tokens decide what it shows; that of energies, which is the
    published one, beside it.
    """
    shown: tuple[tuple[str, str, ReadRatio, str], ...] = (
        (
            "snr-by-depth", "median token", median_token,
            "signal-to-noise ratio in dB of the median token of each block's output, mean over windows and seeds",
        ),
        (
            "snr-of-energies-by-depth", "energies of all tokens", energy,
            "signal-to-noise ratio in dB of the energies of all tokens of each block's output, mean over seeds; in the "
            "middle blocks of many models a few tokens with huge activations are nearly all of it",
        ),
    )  # fmt: skip
    for name, what, read, told in shown:
        panels = _panels(summary, setting, what, read)
        if panels:
            yield name, panels, f"{setting}: {told}; higher is closer to the dense model. {_bands(summary, panels)}"


def _bands(summary: Summary, panels: list[Panel]) -> str:
    """Says what bands there are."""
    known = [
        interval
        for panel in panels
        for language, of_blocks in panel.intervals.items()
        for interval, decibels in zip(of_blocks, panel.decibels[language], strict=True)
        if math.isfinite(decibels)
    ]
    bands = "Bands are 95% intervals, for other windows and, of several seeds, for other seeds"
    if all(known):
        return f"{bands}."
    missing = without_interval(summary.study.config)
    return f"{bands}; where there is none, {missing}." if any(known) else f"{missing.capitalize()}."


def _panels(summary: Summary, setting: Setting, what: str, read: ReadRatio) -> list[Panel]:
    measured, cells = summary.measured, summary.measured.cells[setting]
    own = {language: alone(measured, language) for language in measured.languages}
    wanted = {
        f"calibrated on English ({summary.english})": dict.fromkeys(measured.languages, summary.english),
        "each language calibrated on itself": own,
    }
    panels: list[Panel] = []
    for title, calibration_of in wanted.items():
        decibels: dict[str, list[float]] = {}
        intervals: dict[str, list[tuple[float, float] | None]] = {}
        for language, calibration in calibration_of.items():
            if calibration is None or calibration not in cells:
                continue
            found = [read(cells, calibration, language, block) for block in blocks(cells[calibration], language)]
            if any(found):
                # No number is written where nothing changed.
                decibels[language] = [math.inf if ratio is None else ratio.db for ratio in found]
                intervals[language] = [None if ratio is None else ratio.interval for ratio in found]
        if decibels:
            panels.append(Panel(f"{title}: {what}", decibels, intervals))
    return panels
