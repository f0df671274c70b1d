"""``jaxprune evaluate``."""

import contextlib
import json as json_
from pathlib import Path
from typing import Annotated, Any

import typer

from jaxprune.cli import console, numbers, options, processes


def command(
    model: options.Model,
    tasks: Annotated[
        str | None,
        typer.Option(
            help="Tasks, separated by commas; list shows them all. file:PATH.jsonl holds items of your own, one a "
            'line: {"context": .., "choices": \\[..], "answer": 0, "language": "de"} or {"prompt": .., '
            '"reference": .., "language": "de"}. A line may also have id, ability, separator; stop, max_new_tokens.',
            show_default=False,
        ),
    ] = None,
    languages: options.Languages = None,
    limit: Annotated[
        int | None,
        numbers.whole(
            "Items for each language of a task: the first of an order that scatters them, the same in every language "
            "(of a task file: by id). Default: all.",
            least=1,
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="Metric to show in the table. Default: each task's headline metric. --json has all of them.",
            show_default=False,
        ),
    ] = None,
    items: Annotated[
        Path | None,
        typer.Option(
            help="Write what became of every item to this file, one JSON object a line; it must not exist.",
            metavar="FILE.jsonl",
            show_default=False,
        ),
    ] = None,
    block: Annotated[
        int | None,
        numbers.whole(
            "Retrieval: after how many blocks hidden states are taken. Default: two thirds of them.",
            least=1,
            show_default=False,
        ),
    ] = None,
    mesh: options.Mesh = None,
    compute_dtype: options.ComputeDtype = None,
    distributed: options.Distributed = False,
    coordinator: options.Coordinator = None,
    num_processes: options.NumProcesses = None,
    process_id: options.ProcessId = None,
    json: options.Json = False,
) -> None:
    """Measure a model on downstream tasks, in the languages that have items.

    What asks for language, for knowledge and for reasoning is reported apart: pruning does not hurt the three alike.
    Beside each score stand its 95% interval and what is reached without a model: by chance, by always the most frequent
    answer, by the words that answer and context share, by copying. Data come from the package index when they are first
    needed, after a line that says how large they are and under which terms. No verse of these tasks ever calibrates
    with --texts sample; what other calibration texts have in common with a task is not checked.

    [bold]Example:[/]  jaxprune evaluate sample:gemma3-270m --tasks next-verse --languages de,en,sw --limit 100
    """
    from jaxprune.checkpoints import open_checkpoint
    from jaxprune.distributed import first_then_others, is_first
    from jaxprune.errors import RequestError
    from jaxprune.jobs import evaluate as job
    from jaxprune.jobs.settings import parse_languages
    from jaxprune.resources import parse_compute_dtype
    from jaxprune.sharding import make_mesh, parse_mesh
    from jaxprune.tasks import TASKS, check_metric, open_task, parse_tasks

    if tasks == "list":
        _list_tasks(TASKS, json)
        return
    processes.join(distributed, coordinator, num_processes, process_id)
    names, asked = parse_tasks(tasks), parse_languages(languages)
    if metric is not None:
        check_metric(metric, [open_task(name) for name in names])
    else:
        for name in names:
            open_task(name)
    if items is not None and (items.exists() or not items.absolute().parent.is_dir()):
        found = "exists already" if items.exists() else "would lie in a folder that does not exist"
        raise RequestError(f"{items} {found}; name another file with --items.")
    sizes, dtype = parse_mesh(mesh), parse_compute_dtype(compute_dtype)
    if sizes is not None:
        make_mesh(sizes)
    with console.working(f"opening {model}"):
        checkpoint = first_then_others(lambda: open_checkpoint(model))
    job.check_settings(checkpoint, block)
    with console.working("reading tasks"):
        prepared = first_then_others(lambda: job.prepare_tasks(names, asked, lambda name: limit))
    for task, language in prepared.missing:
        console.err.print(f"{task} has no items in {language}; it is left out.", highlight=False, markup=False)
    chosen = make_mesh(sizes, prepared.num_items)
    with contextlib.ExitStack() as bars:

        def on_stage(name: str, total: int) -> Any:
            bars.close()
            unit = "sections" if name == "read" else "tokens"
            return bars.enter_context(console.WorkProgress(name, total, unit, is_shown=is_first())).advance

        scores = job.evaluate(checkpoint, prepared, mesh=chosen, compute_dtype=dtype, block=block, on_stage=on_stage)
    if not is_first():
        return
    if items is not None:
        lines = [json_.dumps(record, ensure_ascii=False) + "\n" for record in job.item_records(scores)]
        partial = items.with_name(f".{items.name}.partial")
        partial.write_text("".join(lines), encoding="utf-8")
        partial.replace(items)
    result = job.as_json(model, prepared, scores, limit)
    if json:
        console.print_json(result)
        return
    _print_tables(result, metric)


def _list_tasks(tasks: Any, json: bool) -> None:
    described = {
        name: {
            "ability": task.ability,
            "kind": task.kind,
            "metrics": list(task.metrics),
            "headline": task.headline,
            "description": task.description,
            "languages": list(task.languages()),
        }
        for name, task in tasks.items()
    }
    if json:
        console.print_json({"tasks": described})
        return
    for name, task in described.items():
        console.out.print(f"{name}  ({task['ability']}; {', '.join(task['metrics'])})", markup=False, highlight=False)
        console.out.print(f"  {task['description']}", markup=False, highlight=False)
        console.out.print(f"  {' '.join(task['languages'])}", markup=False, highlight=False)


def _print_tables(result: dict[str, Any], metric: str | None) -> None:
    from jaxprune.tasks.items import ABILITIES

    columns = ["task", "language", "metric", "score", "95% interval", "chance", "majority", "overlap", "copy", "items"]
    for ability in ABILITIES:
        rows = []
        for name, task in result["tasks"].items():
            shown = task["headline"] if metric is None else metric
            for language, found in task["languages"].items():
                if task["ability"] == ability and shown in found["metrics"]:
                    rows.append([name, language, shown, *_cells(found, shown, is_headline=shown == task["headline"])])
        if rows:
            # A column that no row fills tells nothing.
            kept = [i for i in range(len(columns)) if any(row[i] != "-" for row in rows)]
            title = f"{result['model']}: {ability}"
            table = console.table(title, [columns[i] for i in kept], [[row[i] for i in kept] for row in rows])
            console.out.print(table)
    for name, task in result["tasks"].items():
        for language, found in task["languages"].items():
            if found.get("empty"):
                _note(f"{name}, {language}: {found['empty']} of {found['items']} generations are empty, and score 0.")
            if found["cut"]:
                _note(
                    f"{name}, {language}: {found['cut']} texts were longer than the model was made for, and were cut."
                )
    for name, language in result["missing"]:
        _note(f"{name} has no items in {language}.")


def _note(text: str) -> None:
    console.out.print(text, markup=False, highlight=False)


def _cells(found: dict[str, Any], metric: str, *, is_headline: bool) -> list[str]:
    value, interval = found["metrics"][metric]["value"], found["metrics"][metric]["interval"]
    baselines = found["baselines"]
    # Chance, majority and overlap hold for each accuracy; what copying gives was measured by the headline metric.
    shown = [baselines.get(name) for name in ("chance", "majority", "overlap")]
    shown.append(baselines.get("copy") if is_headline else None)
    return [
        f"{value:.3f}",
        "-" if interval is None else "{:.3f} – {:.3f}".format(*interval),
        *("-" if baseline is None else f"{baseline:.3f}" for baseline in shown),
        str(found["items"]),
    ]
