"""What is scored without a model: by chance, by always the same answer, by shared words, by copying.

A small model can be far above chance because the right answer shares names with the question. These numbers stand
beside each score, so that such a score is not taken for understanding.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from jaxprune.tasks.items import ChoiceItem, GenerationItem, RetrievalPair
from jaxprune.tasks.text_scores import score_text
from jaxprune.tasks.words import words


def choice_baselines(items: Sequence[ChoiceItem]) -> dict[str, float]:
    """Returns the accuracies of guesses.

    Returns:
      ``chance``: any choice. ``majority``: always the place that is right most often (of labels, the most frequent
      label). ``overlap``: the choice of whose words most stand in the context; where several do, one of them.
    """
    places = Counter(item.answer for item in items)
    return {
        "chance": float(np.mean([1 / len(item.choices) for item in items])),
        "majority": max(places.values()) / len(items),
        "overlap": float(np.mean([_by_overlap(item) for item in items])),
    }


def _by_overlap(item: ChoiceItem) -> float:
    context = set(words(item.context))
    shares = [_share(words(choice), context) for choice in item.choices]
    return (shares[item.answer] == max(shares)) / shares.count(max(shares))


def _share(of: Sequence[str], context: set[str]) -> float:
    """Returns the share of words that are in ``context``."""
    return sum(word in context for word in of) / len(of) if of else 0.0


def retrieval_baselines(pairs: Sequence[RetrievalPair]) -> dict[str, float]:
    """Returns the accuracies of guesses.

    Returns:
      ``chance``: any candidate. ``overlap``: the candidate that shares most words (names and numbers, where the scripts
      are the same) with the source, relative to all words of both; where several do, one of them.
    """
    candidates = [set(words(pair.target)) for pair in pairs]
    sizes = np.asarray([len(candidate) for candidate in candidates], np.float64)
    having: dict[str, list[int]] = {}
    for index, candidate in enumerate(candidates):
        for word in candidate:
            having.setdefault(word, []).append(index)
    right = []
    for index, pair in enumerate(pairs):
        source = set(words(pair.source))
        shared = np.zeros(len(pairs))
        for word in source:
            shared[having.get(word, [])] += 1
        likeness = shared / np.maximum(1, sizes + len(source) - shared)
        right.append(float(likeness[index] == likeness.max()) / np.count_nonzero(likeness == likeness.max()))
    return {"chance": 1 / len(pairs), "overlap": float(np.mean(right))}


def generation_baselines(items: Sequence[GenerationItem], metric: str) -> dict[str, float]:
    """Returns ``{"copy": score}`` of copying the source; nothing where an item does not say what that is."""
    copied = [(item.copied, item.references) for item in items if item.copied is not None]
    if len(copied) < len(items):
        return {}
    return {"copy": float(np.mean([score_text(text, references)[metric] for text, references in copied]))}
