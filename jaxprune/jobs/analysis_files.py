"""What the analyses write into a folder: all numbers as JSON, and figures where matplotlib is."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxprune.checkpoints.output import OutputFolder
from jaxprune.studies.analyses import ANALYSES
from jaxprune.studies.figure_files import save_figures
from jaxprune.studies.heatmap import can_draw

Write = Callable[[str, Mapping[str, Any]], None]
"""Given a kind of analysis and its result."""


def check_out(out: Path | None, *, overwrite: bool, read: Sequence[str]) -> None:
    """Checks what ``analysis_folder`` does, and touches nothing.

    Raises:
      RequestError: as there.
    """
    if out is not None:
        for reference in read:
            OutputFolder(out, overwrite=overwrite, source=reference)


@contextlib.contextmanager
def analysis_folder(
    out: Path | None, *, overwrite: bool, read: Sequence[str], is_one_of_many: bool = False
) -> Iterator[Write]:
    """Gives a function that writes the result of an analysis; without ``out`` it does nothing.

    Args:
      out: folder to be.
      overwrite: whether it may replace an earlier result.
      read: the models or runs that are analysed, of which nothing is written into.
      is_one_of_many: whether each analysis has a folder of its own in ``out``.

    Raises:
      RequestError: ``out`` cannot be written, or is or lies in what is read.
    """
    check_out(out, overwrite=overwrite, read=read)
    if out is None:
        yield lambda kind, result: None
        return
    is_drawn = can_draw()
    with OutputFolder(out, overwrite=overwrite) as folder:

        def write(kind: str, result: Mapping[str, Any]) -> None:
            place = folder / kind if is_one_of_many else folder
            place.mkdir(exist_ok=True)
            text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
            (place / ANALYSES[kind].file).write_text(text + "\n", encoding="utf-8")
            if is_drawn:
                save_figures(place, ANALYSES[kind].figures(result))

        yield write
