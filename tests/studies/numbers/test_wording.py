"""How differences are worded."""

import pytest

from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import Difference
from jaxprune.studies.numbers.measured import Measure


def difference(value, interval):
    return Difference(value, interval, 0.5, 200, (2, 2), "a test", ())


@pytest.mark.parametrize(
    ("measure", "value", "interval", "factor", "wanted"),
    [
        ("exams", 0.021, (-0.096, 0.138), 100.0, ("+2.1 points", "95% interval \u22129.6 to +13.8")),
        ("perplexity", -0.494, (-0.635, -0.357), 1.0, ("\u221239%", "95% interval \u221247 to \u221230%")),
        ("exams", 0.0, (0.0, 0.0), 100.0, ("0.0 points", "every item the same")),
        ("perplexity", 0.0, (0.0, 0.0), 1.0, ("0.0%", "every item the same")),
    ],
)
def test_a_difference_has_its_interval_unless_no_item_differs(measure, value, interval, factor, wanted):
    assert wording.change(Measure(measure, "any ability", (), ""), difference(value, interval), factor) == wanted
