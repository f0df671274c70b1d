"""What silencing a language's neurons did beyond silencing others, in short, for tables."""

from collections.abc import Mapping
from typing import Any

from jaxprune.evaluation.significance import holm
from jaxprune.studies.numbers import wording

UNKNOWN = "–"


def beyond_others(effects: Mapping[str, Any]) -> dict[str, str]:
    """Returns by language silenced what its own text lost beyond the silence of as many others, as words.

    In nats a token with a 95% interval, and a p-value of Holm's correction over the languages silenced.

    Args:
      effects: by language silenced, as ``jaxprune analyze neurons`` writes them; None for one without neurons.
    """
    # Earlier versions did not pair the two.
    tests = {language: of["beyond"] for language, of in effects.items() if of is not None and "beyond" in of}
    corrected = holm({language: test["p_value"] for language, test in tests.items() if test["p_value"] is not None})
    told = dict.fromkeys(effects, UNKNOWN)
    for language, test in tests.items():
        told[language] = wording.signed(test["value"], 3)
        if language in corrected:
            low, high = (wording.signed(bound, 3) for bound in test["interval"])
            told[language] += f" ({low} to {high}), {wording.p_value(corrected[language])}"
    return told
