"""The published claim on neurons, judged by planted overlaps."""

import pytest

from jaxprune.studies.answers.published_neurons import neuron_findings


def analysis(*overlaps, halves=0.7):
    dense = {"against_first": None, "halves": {"specific": {"iou": halves, "chance": 0.01}}}
    pruned = [{"against_first": {"specific": {"iou": iou, "chance": 0.01}}} for iou in overlaps]
    labels = ["dense", *(f"pruned {index}" for index in range(len(overlaps)))]
    return {
        "models": [
            {"label": name, "pruned": {"languages": "en"} if index else None} for index, name in enumerate(labels)
        ],
        "neurons": dict(zip(labels, [dense, *pruned], strict=True)),
    }


@pytest.mark.parametrize(
    ("overlaps", "verdict"),
    [
        ((0.4, 0.5, 0.6, 0.65), "shown"),
        ((0.4, 0.5, 0.6, 0.72), "shown"),
        ((0.4, 0.75, 0.8), "partly shown"),
        ((0.75, 0.7), "not shown"),
    ],
)
def test_overlap_is_judged_beside_that_of_halves_of_the_text(overlaps, verdict):
    [found] = neuron_findings(analysis(*overlaps))
    assert found.verdict == verdict
    below = sum(overlap < 0.7 for overlap in overlaps)
    assert f"less than that in {below} of {len(overlaps)} prunings" in found.evidence


def test_without_halves_or_overlap_it_cannot_be_judged():
    result = analysis(0.4)
    result["neurons"]["dense"]["halves"] = None
    [found] = neuron_findings(result)
    assert found.verdict == "cannot be judged"
    assert found.evidence.startswith("How far other text alone")
    [found] = neuron_findings(analysis(None, None))
    assert (found.verdict, found.evidence) == ("cannot be judged", "None was found.")


def test_models_that_were_not_pruned_are_not_judged():
    result = analysis(0.4)
    result["models"][1]["pruned"] = None
    assert neuron_findings(result) == ()
