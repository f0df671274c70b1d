"""What ``jaxprune study --dry-run`` prints: the points that are left, and their work in tokens and items."""

import contextlib
import statistics
from collections.abc import Mapping
from typing import Any

from jaxprune.cli import console


def print_plan(study: Any, part: Any, *, is_json: bool) -> None:
    """Prints the points of a part, what there is to do of each, and how the numbers were had."""
    from jaxprune.jobs.study_coverage import count_items, describe_gaps, items_here, missing_languages
    from jaxprune.studies.points.grid import job_id

    found = study.results()
    with console.working("reading the items of tasks"):
        items_of_tasks = items_here(study.config)
    items = count_items(items_of_tasks)
    of_tasks = _count_tokens(study.config.model, items_of_tasks)
    rows, plan = [], []
    for job in study.own:
        name = job_id(job)
        result = found[name]
        status = "to do" if result is None else result.status
        tokens = _tokens(study.config, job, study.stages(job), of_tasks)
        plan.append({"id": name, "status": status, "tokens": tokens})
        # What is not counted is not nothing.
        blank = "?" if of_tasks.uncounted and status != "done" else "–"
        nothing = {"scoring": blank, "generation": blank}
        rows.append([name, status, *(f"{of:,}" if of else nothing.get(phase, "–") for phase, of in tokens.items())])
    left = [entry for entry in plan if entry["status"] != "done"]
    total = sum(sum(entry["tokens"].values()) for entry in left)
    seconds = _seconds(found, len(left))
    if is_json:
        result = {"points": plan, "shard": str(part), "tokens": total, "seconds": seconds, "items": items}
        result |= {"uncounted": of_tasks.uncounted}
        result |= {"missing": missing_languages(study.config), "gaps": describe_gaps(study.config)}
        console.print_json(result)
        return
    title = f"{study.config.title}: tokens through the model"
    phases = ["prune", "perplexity", "snr", *(["scoring", "generation (at most)"] if items else [])]
    console.out.print(console.table(title, ["point", "status", *phases], [row[: 2 + len(phases)] for row in rows]))
    if items:
        _print_items(study.config.evaluation, items)
    more = ", and those of tasks that are not counted" if of_tasks.uncounted else ""
    summary = [["to do here", f"{len(left)} of {len(plan)} points; {total:,} tokens through the model{more}"]]
    if of_tasks.scoring or of_tasks.prompts:
        summary.append(["tasks", _how_counted(study.config.model, of_tasks)])
    for why, tasks in _by_reason(of_tasks.uncounted).items():
        summary.append(["not counted", f"the tokens of {', '.join(tasks)}: {why}"])
    if seconds is not None:
        summary.append(["time", f"about {seconds / 60:.0f} minutes, to judge by the points that are done"])
    summary += [["note", gap] for gap in describe_gaps(study.config)]
    console.out.print(console.summary(summary))


def _count_tokens(model: str, items: Any) -> Any:
    """Returns the tokens of tasks for one model, showing how far the count is."""
    from jaxprune.jobs.study_tokens import count_task_tokens

    with contextlib.ExitStack() as shown:
        return count_task_tokens(
            model,
            items,
            lambda total: (
                shown.enter_context(console.WorkProgress("counting the tokens of tasks", total, unit="items")).advance
            ),
        )


def _how_counted(model: str, of_tasks: Any) -> str:
    """Returns what the numbers of tokens of tasks are made of."""
    parts = []
    if of_tasks.scoring:
        parts.append(
            "scoring reads each context once for all its choices, each choice alone too, and each sentence of "
            "retrieval (up to two thirds of the blocks)"
        )
    if of_tasks.prompts:
        parts.append(f"generation reads prompts of {of_tasks.prompts:,} tokens and makes up to {of_tasks.generated:,}")
    return f"of each model, counted with the tokenizer of {model}: {'; '.join(parts)}"


def _by_reason(uncounted: Mapping[str, str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for task, why in uncounted.items():
        reasons.setdefault(why, []).append(task)
    return reasons


def _print_items(evaluation: Any, items: Mapping[str, Mapping[str, int | None]]) -> None:
    """Prints a table of the items of each model: how many, or how many at most."""
    rows = []
    for task, counted in items.items():
        limit = evaluation.limit_of(task)
        unknown = "all" if limit is None else f"≤ {limit:,}"
        shown = {language: unknown if number is None else f"{number:,}" for language, number in counted.items()}
        rows.append([task, *(shown.get(language, "–") for language in evaluation.languages)])
    console.out.print(console.table("items of tasks, for each model", ["task", *evaluation.languages], rows))
    if any(number is None for counted in items.values() for number in counted.values()):
        console.out.print(
            "Items that are here are counted; of tasks whose data are fetched when the study starts, or are the "
            "harness's, only the limit is known.",
            highlight=False,
        )


def _tokens(config: Any, job: Any, stages: Any, of_tasks: Any) -> dict[str, int]:
    """Returns how many tokens some stages send through the model; pruning does so twice, SNR three times."""
    evaluation = config.evaluation
    sequences = 0 if job is None or job.mixture is None else sum(job.mixture.values())
    windows = {"perplexity": (evaluation.perplexity, 1), "snr": (None if job is None else evaluation.snr, 3)}
    tokens = {"prune": 2 * sequences * config.calibration.length} | {
        name: 0 if asked is None else passes * asked.windows * asked.length * len(evaluation.languages)
        for name, (asked, passes) in windows.items()
    }
    found = {name: of_stage if name in stages else 0 for name, of_stage in tokens.items()}
    asked = "tasks" in stages
    return found | {
        "scoring": of_tasks.scoring if asked else 0,
        "generation": of_tasks.prompts + of_tasks.generated if asked else 0,
    }


def _seconds(found: Mapping[str, Any], left: int) -> float | None:
    took = [
        sum(result.result.get("seconds", {}).values())
        for result in found.values()
        if result is not None and result.status == "done" and result.result.get("point")
    ]
    return statistics.median(took) * left if took else None
