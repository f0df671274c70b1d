"""Targets of a study file in words: what is asked, whether it holds, and why that cannot be judged."""

from jaxprune.studies.answers.criterion import TargetResult
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.measured import PERPLEXITY


def target_text(result: TargetResult) -> str:
    """Returns a target in words: ``next-verse at most 5% worse than dense``."""
    limit = f"{100 * result.limit:.3g}%"
    if result.target.worse_than_dense_at_most is not None:
        return f"{result.target.measure} at most {limit} worse than dense"
    return f"other languages lose at most {limit} of what English calibration gives them in {result.target.measure}"


def targets_in_words(results: tuple[TargetResult, ...], language: str) -> str:
    """Returns which targets hold, which are missed, and which cannot be judged."""
    told: list[str] = []
    for verb, is_met in (("holds", True), ("misses", False)):
        chosen = [result for result in results if result.is_met is is_met]
        if chosen:
            told.append(f"{verb} the target{'s' * (len(chosen) > 1)} {_join(chosen, language)}")
    unknown = [result for result in results if result.loss is None]
    if unknown:
        told.append(f"cannot be judged: {wording.names([unknown_in_words(result) for result in unknown])}")
    return "; ".join(told)


def unknown_in_words(result: TargetResult) -> str:
    """Returns a target with the reason why nothing is known of it."""
    where = wording.names([language_of(name).english for name in result.without_numbers])
    why = [f"no numbers in {where}"] if where else []
    why += [
        f"nothing to lose in {language_of(name).english}: {reason}" for name, reason in result.nothing_to_lose.items()
    ]
    if not why:
        is_of_dense = result.target.worse_than_dense_at_most is not None
        where = language_of(result.language).english if is_of_dense else "other languages"
        why = [f"{'no numbers' if result.is_asked else 'not asked'} in {where}"]
    return f"\u201c{target_text(result)}\u201d" + f" ({'; '.join(why)})"


def _join(results: list[TargetResult], language: str) -> str:
    told: list[str] = []
    for result in results:
        assert result.loss is not None
        if result.is_by_definition:
            told.append(f"\u201c{target_text(result)}\u201d (by definition: others are compared with it)")
            continue
        where = "" if result.language == language else f" in {language_of(result.language).english}"
        doubt = "" if result.is_certain else ", which is not certain"
        loses = -result.loss.value if result.target.measure != PERPLEXITY else result.loss.value
        floored = wording.names([language_of(name).english for name in result.nothing_to_lose])
        without = f"; without {floored}, where there is nothing to lose" if floored else ""
        told.append(f"\u201c{target_text(result)}\u201d ({wording.percent(loses)}{where}{doubt}{without})")
    return wording.names(told)
