"""What the analyses write into a folder: all numbers as JSON, and figures where matplotlib is."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxprune.checkpoints.output import OutputFolder
from jaxprune.distributed import is_first, together
from jaxprune.studies.analyses import ANALYSES
from jaxprune.studies.figures.files import save_figures
from jaxprune.studies.figures.heatmap import can_draw

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

    Of several processes all call it, and the first one writes.

    Args:
      out: folder to be.
      overwrite: whether it may replace an earlier result.
      read: the models or runs that are analysed, of which nothing is written into.
      is_one_of_many: whether each analysis has a folder of its own in ``out``.

    Raises:
      RequestError: in every process, if ``out`` cannot be written, or is or lies in what is read.
    """
    if out is None:
        yield lambda kind, result: None
        return
    with together():
        if is_first():
            check_out(out, overwrite=overwrite, read=read)
    is_drawn = is_first() and can_draw()
    with contextlib.ExitStack() as stack:
        with together():
            folder = stack.enter_context(OutputFolder(out, overwrite=overwrite)) if is_first() else None

        def write(kind: str, result: Mapping[str, Any]) -> None:
            if folder is not None:
                _write(folder / kind if is_one_of_many else folder, kind, result, is_drawn=is_drawn)

        yield write
        with together():
            stack.close()


def _write(place: Path, kind: str, result: Mapping[str, Any], *, is_drawn: bool) -> None:
    place.mkdir(exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
    (place / ANALYSES[kind].file).write_text(text + "\n", encoding="utf-8")
    if is_drawn:
        save_figures(place, ANALYSES[kind].figures(result))
