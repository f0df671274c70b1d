"""Means of tasks' items with their intervals."""

import numpy as np
import pytest

from jaxprune.evaluation.intervals import estimate_ratio
from jaxprune.jobs.evaluate import summarise
from jaxprune.jobs.task_measures import Measured
from jaxprune.tasks import open_task
from jaxprune.tasks.items import METRICS, GenerationItem


@pytest.mark.parametrize(("scores", "edge"), [((0.0, 0.02, 0.3), 0), ((1.0, 0.99, 0.6), 1)])
def test_no_interval_leaves_what_an_item_can_score(tmp_path, scores, edge):
    """Three items: Student's t alone reaches past the end of the scale."""
    file = tmp_path / "own.jsonl"
    file.write_text('{"prompt": "a", "reference": "b", "language": "de"}\n', encoding="utf-8")
    task = open_task(f"file:{file}")
    scores_N = np.asarray(scores)
    alone = estimate_ratio(scores_N, np.ones(3)).interval
    assert not 0 <= alone[edge] <= 1
    items = [GenerationItem(str(i), "a", ("b",)) for i in range(3)]
    measured = Measured(dict.fromkeys(METRICS["generation"], scores_N), ({},) * 3, empty=0)
    for metric in summarise(task, items, measured).metrics.values():
        assert metric.value == pytest.approx(scores_N.mean())
        assert metric.interval[edge] == float(edge)
        assert metric.interval[1 - edge] == pytest.approx(alone[1 - edge])
