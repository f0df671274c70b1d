"""Whether the tasks and texts that a study names have the languages that it asks for, and how many items there are.

All of it is known before a model is opened, and nothing is fetched for it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jaxprune.data import check_languages, knows_languages, open_texts
from jaxprune.errors import RequestError
from jaxprune.studies.config.study import StudyConfig
from jaxprune.tasks import check_files, open_task
from jaxprune.tasks.items import Item
from jaxprune.tasks.text_scores import check_installed

InPlace = Callable[[str, Callable[[], Any]], Any]
"""Calls something, and says of which place of the study file an error of it is."""


def check_tasks(config: StudyConfig, in_place: InPlace) -> None:
    """Checks that each task has a language that is asked for, and each language something that is measured.

    Raises:
      RequestError: one has none, a task is unknown, a file is named twice, or a package that scores it is missing.
    """
    evaluation = config.evaluation
    names = evaluation.tasks.names if evaluation.tasks else ()
    for index, name in enumerate(names):
        in_place(f"evaluation.tasks.names[{index}]", lambda name=name: _check_task(name, evaluation.languages_of(name)))
    in_place("evaluation.tasks.names", lambda: check_files(names))
    if evaluation.perplexity is None and evaluation.snr is None:
        for index, language in enumerate(evaluation.languages):
            in_place(f"evaluation.languages[{index}]", lambda language=language: _check_language(config, language))


def _check_task(name: str, languages: Sequence[str]) -> None:
    task = open_task(name)
    if task.kind == "generation":
        check_installed()
    known = task.languages()
    if not set(languages) & set(known):
        raise RequestError(
            f"{name} was asked for in {', '.join(languages)}, and has items in {', '.join(known)}; add one of these to "
            "evaluation.languages (and to what tasks.only names for it), or leave the task out, in decision too."
        )


def _check_language(config: StudyConfig, language: str) -> None:
    tasks = list(_languages_of_tasks(config))
    if not any(language in asked and language in known for _, asked, known in tasks):
        found = "; ".join(f"{name} has {', '.join(known)}{_alone(config, asked)}" for name, asked, known in tasks)
        raise RequestError(
            f"nothing would be measured in {language}: {found}; leave the language out, or ask for perplexity or a "
            "task that has it."
        )


def _alone(config: StudyConfig, asked: Sequence[str]) -> str:
    is_asked_everywhere = len(asked) == len(config.evaluation.languages)
    return "" if is_asked_everywhere else f" and is asked in {', '.join(asked)} alone"


def _languages_of_tasks(config: StudyConfig) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
    """Yields each task with the languages it is asked in and those it has, the harness's after ours."""
    evaluation = config.evaluation
    for name in evaluation.tasks.names if evaluation.tasks else ():
        yield name, evaluation.languages_of(name), open_task(name).languages()
    for name, task in evaluation.harness.tasks.items() if evaluation.harness else ():
        yield name, evaluation.languages_of(name), tuple(task.languages)


def check_text_languages(config: StudyConfig, in_place: InPlace) -> None:
    """Checks that texts have the languages they are asked for, where that is known without the hub.

    Raises:
      RequestError: one is missing.
    """
    for place, texts, languages in _asked_texts(config):
        source = open_texts(texts)
        if knows_languages(source):
            in_place(place, lambda source=source, languages=languages: check_languages(source, languages))


def _asked_texts(config: StudyConfig) -> Iterator[tuple[str, str, list[str]]]:
    """Yields each place that names texts, the texts, and the languages that are asked of them."""
    calibration, evaluation = config.calibration, config.evaluation
    if any(method.needs_text for method in config.methods):
        mixtures = [calibration.sequences(mixture) for mixture in calibration.mixtures]
        languages = list(dict.fromkeys(language for mixture in mixtures for language in mixture))
        yield "calibration.texts", calibration.texts, languages
    for name, windows in {"perplexity": evaluation.perplexity, "snr": evaluation.snr}.items():
        if windows is not None:
            yield f"evaluation.{name}.texts", windows.texts, list(evaluation.languages)


def missing_languages(config: StudyConfig) -> dict[str, list[str]]:
    """Returns the languages that are asked for and that a task lacks, of each task that lacks some."""
    lacking = {
        name: [language for language in asked if language not in known]
        for name, asked, known in _languages_of_tasks(config)
    }
    return {name: languages for name, languages in lacking.items() if languages}


def describe_gaps(config: StudyConfig) -> list[str]:
    """Returns what is asked for and will not be there, or cannot be known yet; a sentence each."""
    missing = missing_languages(config)
    lines = [f"{task} has no data in {', '.join(languages)}: left out there." for task, languages in missing.items()]
    weighed = [measure for measure, weight in config.decision.weights.items() if weight]
    measured = {name: set(asked) & set(known) for name, asked, known in _languages_of_tasks(config)}
    undecided = [
        language
        for language in config.evaluation.languages
        if weighed and all(language not in measured.get(measure, config.evaluation.languages) for measure in weighed)
    ]
    if undecided:
        lines.append(
            f"Nothing that decision.weights weighs ({', '.join(weighed)}) is measured in {', '.join(undecided)}: "
            "nothing can be decided there."
        )
    hidden = dict.fromkeys(texts for _, texts, _ in _asked_texts(config) if not knows_languages(open_texts(texts)))
    if hidden:
        lines.append(f"Whether {', '.join(hidden)} has the languages, the hub tells at the start.")
    return lines


ItemsHere = Mapping[str, Mapping[str, Sequence[Item] | None]]
"""Items by task and language, as many as are taken; None where they would have to be fetched."""


def items_here(config: StudyConfig) -> ItemsHere:
    """Returns the items of all tasks, the harness's after ours, and fetches none.

    Raises:
      RequestError: the cache cannot be used.
    """
    asked = config.evaluation
    found: dict[str, dict[str, Sequence[Item] | None]] = {}
    for name, wanted, known in _languages_of_tasks(config):
        languages = [language for language in wanted if language in known]
        if asked.tasks is None or name not in asked.tasks.names or not (task := open_task(name)).is_cached():
            found[name] = dict.fromkeys(languages)
        else:
            found[name] = {language: task.items(language, asked.limit_of(name)) for language in languages}
    return found


def count_items(items: ItemsHere) -> dict[str, dict[str, int | None]]:
    """Returns how many items there are by task and language; None where only a download tells."""
    return {
        name: {language: None if of is None else len(of) for language, of in languages.items()}
        for name, languages in items.items()
    }
