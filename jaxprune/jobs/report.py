"""Reports a study: one page, a table in Markdown, figures, and all numbers as JSON."""

import json
from pathlib import Path
from typing import Any

from jaxprune.checkpoints.output import OutputFolder
from jaxprune.studies.figures.heatmap import can_draw
from jaxprune.studies.points.results import read_study
from jaxprune.studies.report.drawing import draw_figures
from jaxprune.studies.report.markdown import markdown_report
from jaxprune.studies.report.page import page
from jaxprune.studies.report.summary import summarise
from jaxprune.studies.report.summary_json import as_json

FOLDER = "report"
PAGE, TABLE, SUMMARY, FIGURES = "index.html", "report.md", "summary.json", "figures"


def report(out: Path, *, overwrite: bool) -> dict[str, Any]:
    """Writes ``OUT/report``; returns what is in its ``summary.json``.

    Whatever is not there, the dense model or every point, the page says so; without matplotlib, figures.

    Args:
      out: folder of a study, finished or not.

    Raises:
      RequestError: it holds no study; or there is a report already.
    """
    study = read_study(out)
    # Before the bootstraps of the summary, which take longer than a refusal should.
    output = OutputFolder(out / FOLDER, overwrite=overwrite)
    summary = summarise(study)
    found = as_json(summary)
    with output as folder:
        drawn = []
        if can_draw():
            (folder / FIGURES).mkdir()
            drawn = draw_figures(folder / FIGURES, summary)
        (folder / PAGE).write_text(page(summary, drawn), encoding="utf-8")
        (folder / TABLE).write_text(markdown_report(summary, drawn), encoding="utf-8")
        text = json.dumps(found, ensure_ascii=False, indent=1, allow_nan=False)
        (folder / SUMMARY).write_text(text + "\n", encoding="utf-8")
    return found
