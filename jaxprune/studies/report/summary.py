"""Everything that a report says, before it is laid out: computed once, then written as a page, a table and JSON."""

import dataclasses
from collections.abc import Iterable

from jaxprune.studies.analyses import read_analyses
from jaxprune.studies.answers.by_method import ByMethod, by_method
from jaxprune.studies.answers.caveats import caveats, state
from jaxprune.studies.answers.criterion import baselines, criterion_for
from jaxprune.studies.answers.decision import Decision, decide
from jaxprune.studies.answers.findings import Answer, answer
from jaxprune.studies.answers.for_all import ForAll, for_all
from jaxprune.studies.answers.own_or_mix import OwnOrMix, own_or_mix
from jaxprune.studies.answers.published import Finding, published_findings
from jaxprune.studies.numbers.comparisons import Comparison, compare_all
from jaxprune.studies.numbers.measured import Measured, Setting
from jaxprune.studies.numbers.reading import read_measured
from jaxprune.studies.points.results import StudyResults
from jaxprune.studies.report.analysis import Section, analysis_sections


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a study says.

    Attributes:
      state: what is not there, to be read first; empty for a finished study.
      english: the English baseline, if there is one.
      own_or_mix: whether English text, a language's own, or both, by setting.
      by_method: which method does best, by pattern.
      for_all: the calibration that all languages together should have, by setting.
      analyses: those that the study keeps.
    """

    study: StudyResults
    measured: Measured
    english: str | None
    comparisons: tuple[Comparison, ...]
    decisions: tuple[Decision, ...]
    answers: tuple[Answer, ...]
    own_or_mix: tuple[OwnOrMix, ...]
    by_method: tuple[ByMethod, ...]
    for_all: tuple[ForAll, ...]
    findings: tuple[Finding, ...]
    caveats: tuple[str, ...]
    state: tuple[str, ...]
    analyses: tuple[Section, ...] = ()

    def undecided(self, setting: Setting) -> str:
        """Returns why nothing can be decided in a setting that has no answers, in a sentence."""
        cells = self.measured.cells[setting].values()
        if self.study.config.evaluation.measures and not any(self.measured.dense.values()):
            return (
                "Nothing counts of the dense model, against which losses are taken, so no calibration can be called "
                "the best."
            )
        if not self.study.config.evaluation.measures:
            return (
                "Only signal-to-noise ratios were measured, which alone decide nothing: they say how far a model has "
                "moved, not whether it is worse."
            )
        if len(cells) < 2:
            return "There are no two calibrations to choose from yet."
        if not any(of_language for cell in cells for of_language in cell.scores.values()):
            return "Nothing that was measured counts, so no calibrations can be compared."
        criteria = [criterion_for(self.study.config, self.measured, name) for name in self.measured.languages]
        if not any(criterion.weights for criterion in criteria):
            return "In no language does the dense model have anything to lose by what counts."
        return "No language has two calibrations whose numbers count, so none can be compared."


def summarise(study: StudyResults) -> Summary:
    """Computes what there is to say of a study, finished or not."""
    measured = read_measured(study)
    against = baselines(study.config, measured)
    comparisons = compare_all(measured, against)
    decisions = decide(study.config, measured, comparisons)
    methods = by_method(measured, decisions)
    analyses, unread = analysis_sections(read_analyses(study.folder), study.folder, study.config.model)
    return Summary(
        study=study,
        measured=measured,
        english=against["english"](""),
        comparisons=comparisons,
        decisions=decisions,
        answers=tuple(answer(measured, decision, comparisons) for decision in decisions),
        own_or_mix=own_or_mix(measured, decisions, comparisons),
        by_method=methods,
        for_all=for_all(measured, decisions, comparisons),
        # Of no point at all not even that it cannot be judged.
        findings=_each_claim_once(
            [
                *(published_findings(measured, comparisons, methods) if measured.cells else ()),
                *(finding for of in analyses for finding in of.findings),
            ]
        ),
        caveats=(*unread, *caveats(study, measured)),
        state=state(study, measured),
        analyses=analyses,
    )


def _each_claim_once(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Returns the first finding of each claim: a second analysis of a kind was made for what the first one lacks."""
    by_claim: dict[str, Finding] = {}
    for finding in findings:
        by_claim.setdefault(finding.claim, finding)
    return tuple(by_claim.values())
