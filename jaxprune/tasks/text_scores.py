"""Scores of generated text against references: chrF, ROUGE, exact match; from 0 to 1.

chrF (Popović, 2015, https://aclanthology.org/W15-3049) is sacreBLEU's for a sentence, divided by 100: F2 of character
n-grams up to 6. ROUGE-1 and ROUGE-L (Lin, 2004, https://aclanthology.org/W04-1013) are F1 by rouge-score, with words
of every script; its own tokenizer drops all that is not Latin. Of several references the nearest counts.
"""

import functools
import importlib.util
from collections.abc import Sequence
from typing import Any

from jaxprune.errors import RequestError
from jaxprune.tasks.words import words

_PACKAGES = {"sacrebleu": "sacrebleu", "rouge_score": "rouge-score"}


class _Words:
    """What rouge-score takes for a tokenizer."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


def check_installed() -> None:
    """Checks that generated text can be scored.

    Raises:
      RequestError: a package is missing.
    """
    missing = [name for module, name in _PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise RequestError(
            f"generated text is scored with {' and '.join(missing)}, which this Python does not have; "
            "run `pip install 'jaxprune[tasks]'`, or leave tasks with generation out."
        )


def score_text(text: str, references: Sequence[str]) -> dict[str, float]:
    """Returns every metric of a text; all are 0 for an empty one."""
    if not text.strip():
        return dict.fromkeys(("chrf", "rouge1", "rougeL", "exact_match"), 0.0)
    chrf, rouge = _scorers()
    overlaps = rouge.score_multi(list(references), text)
    return {
        "chrf": max(chrf.sentence_score(text, [reference]).score for reference in references) / 100,
        "rouge1": float(overlaps["rouge1"].fmeasure),
        "rougeL": float(overlaps["rougeL"].fmeasure),
        "exact_match": float(any(_plain(text) == _plain(reference) for reference in references)),
    }


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


@functools.cache
def _scorers() -> tuple[Any, Any]:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(), RougeScorer(["rouge1", "rougeL"], tokenizer=_Words())
