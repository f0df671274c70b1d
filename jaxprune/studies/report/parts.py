"""What the page and the Markdown have in common: sections, and what is said where something is missing."""

from collections.abc import Sequence

from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.measured import Setting
from jaxprune.studies.report.drawing import Drawn
from jaxprune.studies.report.summary import Summary

OWN_OR_MIX = "English text, the language\u2019s own, or a mix?"

NO_FIGURES = "Figures are missing: they need matplotlib, pip install 'jaxprune[figures]'."


NOTHING_DONE = "Nothing can be said yet: no point of the study is done, so nothing is recommended."


SECTIONS = (
    ("heat maps", "Calibration by evaluation language"),
    ("differences", "Differences to English calibration"),
    ("depth", "Error by depth"),
    ("tasks", "Task scores, by ability"),
    ("who pays", "Who gains, who pays"),
    ("cost", "What it costs"),
)


def lead(summary: Summary, setting: Setting) -> str:
    """Returns the answer to a setting in a sentence: where another calibration than English is worth it."""
    answers = [given for given in summary.answers if given.setting == setting]
    if not answers:
        return f"{summary.undecided(setting)} So nothing is recommended."
    certain = [given for given in answers if given.is_certain]
    where = wording.names([language_of(given.language).english for given in certain])
    if summary.english is None:
        number = wording.count(len(answers), "language")
        return f"English calibration was not measured; the best of what was, for {number}:"
    decided = [of for of in summary.decisions if of.setting == setting]
    compared = wording.count(sum(of.english is not None for of in decided), "language")
    without = wording.names([language_of(of.language).english for of in decided if of.english is None])
    if all(of.english is None for of in decided):
        why = "gave no numbers" if any(of.is_english_broken for of in decided) else "was not measured"
        return f"English calibration ({summary.english}) {why} here, so nothing is compared with it: {without}."
    rest = f" In {without} English calibration has no numbers to compare with." if without else ""
    ruled_out = wording.names([language_of(of.language).english for of in decided if of.passed_over_measurably])
    if ruled_out:
        rest += f" In {ruled_out} the targets rule out what loses measurably less than the pick."
    missed = wording.names([language_of(of.language).english for of in decided if not of.best.holds_targets])
    if missed:
        rest += f" Nothing that was tried holds all targets, by its numbers, in {missed}."
    if len(answers) == 1:
        how = "" if certain else "not "
        return f"The pick is {how}measurably better than English ({summary.english}) by the criterion.{rest}"
    if not certain:
        return (
            f"In none of {compared} is the pick measurably better than English ({summary.english}) by the criterion."
            f"{rest}"
        )
    return (
        f"In {len(certain)} of {compared} the pick is measurably better than English ({summary.english}) by the "
        f"criterion: {where}.{rest}"
    )


def lacks_figures(summary: Summary, drawn: Sequence[Drawn]) -> bool:
    """Returns whether there are numbers and no figure of them."""
    return not drawn and bool(summary.measured.cells)


def points_text(summary: Summary) -> str:
    """Returns how much of the study there is."""
    done = sum(point.status == "done" for point in summary.study.points)
    total = len(summary.study.points) + len(summary.study.missing)
    return f"{done} of {wording.count(total, 'point')} done"
