"""``jaxprune analyze neurons``."""

from typing import Any

from jaxprune.cli import console, options, processes, state_options
from jaxprune.cli.analysis_output import print_analysis


def command(
    models: state_options.Models,
    texts: options.Texts = None,
    languages: options.Languages = None,
    windows: state_options.NumWindows = 16,
    length: options.Length = 2048,
    filter_rate: state_options.FilterRate = 0.95,
    top_rate: state_options.TopRate = 0.01,
    activation_bar: state_options.ActivationBar = 0.95,
    silence: state_options.Silence = False,
    seed: state_options.SilenceSeed = 0,
    out: state_options.Out = None,
    overwrite: options.Overwrite = False,
    mesh: options.Mesh = None,
    compute_dtype: options.ComputeDtype = None,
    host_memory: options.HostMemory = None,
    distributed: options.Distributed = False,
    coordinator: options.Coordinator = None,
    num_processes: options.NumProcesses = None,
    process_id: options.ProcessId = None,
    json: options.Json = False,
) -> None:
    """Find the MLP neurons that serve some languages only, and what pruning made of them.

    LAPE is the entropy of a neuron's activation probabilities over languages: low where it is active in few of them.
    1% of all neurons are chosen, those of lowest LAPE that are active enough, whatever the text. Beside it stands how
    many are lower than any other neuron gets when windows are divided among the languages at random (in 95 of 100
    divisions), about how many that would be by chance, and the p-value of the lowest. 1000 tokens of each language are
    needed at least, so that a probability has a standard error of 1.6% or less; how far two halves of the text choose
    the same neurons is told, and shows whether the text was enough. With --silence, neurons are chosen on every other
    window and silenced on the rest, so 1000 tokens of each half are needed, and the neurons silenced are not those that
    all windows choose.

    [bold]Example:[/]  jaxprune analyze neurons sample:gemma3-270m gemma3-de --texts sample --languages de,en,sw
    --length 512 --out neurons
    """
    asked = dict(locals())
    from jaxprune.analysis.lape import Thresholds
    from jaxprune.distributed import is_first
    from jaxprune.jobs import analyze_neurons as job

    processes.join(distributed, coordinator, num_processes, process_id)
    processes.check_agreement(asked)
    thresholds = Thresholds(filter_rate, top_rate, activation_bar)
    checkpoints, inputs, chosen, lockstep = state_options.open_states(
        models,
        texts,
        languages,
        windows=windows,
        length=length,
        out=out,
        overwrite=overwrite,
        mesh=mesh,
        compute_dtype=compute_dtype,
        host_memory=host_memory,
        is_halved=silence,
    )
    work = lockstep.total_work + silence * job.silencing_work(checkpoints, inputs)
    with console.WorkProgress("neurons", work, is_shown=is_first()) as bar:
        result = job.analyze_neurons(
            checkpoints,
            inputs,
            lockstep,
            mesh=chosen,
            thresholds=thresholds,
            is_causal=silence,
            seed=seed,
            out=out,
            overwrite=overwrite,
            on_tokens=bar.advance,
            on_phase=bar.phase,
        )
    if is_first():
        print_analysis(result, tables, out=out, json=json)


def tables(result: dict[str, Any]) -> list[Any]:
    """Returns the models, the languages, and if it was asked for what silencing did."""
    from jaxprune.studies.numbers.silencing import beyond_others

    models = result["neurons"]
    rows = [
        [
            label,
            f"{found['specific']:,}",
            *_by_chance(found["by_chance"]),
            f"{found['in_all_languages']:,}",
            _number(found["thresholds"]["lape"]),
            "–" if found["lape"]["quantiles"] is None else _number(_median(found, result)),
            *_against_first(found["against_first"]),
            "unknown" if found["halves"] is None else _overlap(found["halves"]["specific"]),
        ]
        for label, found in models.items()
    ]
    title = f"Language-specific neurons (IoU: by chance)\nLAPE in nats, at most {result['lape']['highest']:.3f}"
    columns = [
        "model",
        "specific",
        "below chance",
        "expected",
        "p-value",
        "to all languages",
        "LAPE up to",
        "median LAPE",
        "LAPE distance",
    ]
    tables = [console.table(title, [*columns, "IoU with first", "IoU of two halves of the text"], rows)]
    rows = []
    for language in result["languages"]:
        row = [language]
        for found in models.values():
            row.append(f"{found['languages'][language]['size']:,}")
            if found["against_first"] is not None:
                row.append(_overlap(found["against_first"]["languages"][language]))
        rows.append(row)
    columns = ["language"]
    for label, found in models.items():
        columns += [label] if found["against_first"] is None else [label, "IoU with first"]
    chosen_on = ", chosen on all windows" if result["silencing"] else ""
    tables.append(console.table(f"Neurons of each language{chosen_on}\n(IoU: by chance)", columns, rows))
    for label, effects in (result["silencing"] or {}).items():
        beyond = beyond_others(effects)
        rows = [
            [silenced, *(["–"] * (1 + len(effects)) if of is None else _silenced(of, list(effects))), beyond[silenced]]
            for silenced, of in effects.items()
        ]
        title = (
            f"{label}: change of log perplexity (nats a token)\n"
            "when a language's neurons are silent (as many others);\n"
            "chosen on every other window, judged on the rest;\n"
            "last: own text beyond others, 95% interval, p (Holm)"
        )
        tables.append(console.table(title, ["silenced", "neurons", *effects, "beyond others"], rows))
    return tables


def _median(found: dict[str, Any], result: dict[str, Any]) -> float:
    return found["lape"]["quantiles"][result["lape"]["quantiles"].index(0.5)]


def _against_first(found: dict[str, Any] | None) -> list[str]:
    return ["–", "–"] if found is None else [_number(found["lape_distance"]), _overlap(found["specific"])]


def _overlap(found: dict[str, Any]) -> str:
    return "undefined" if found["iou"] is None else f"{found['iou']:.3f} ({found['chance']:.3f})"


def _by_chance(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return ["unknown", "–", "–"]
    from jaxprune.studies.numbers.neurons import p_value_of_divisions

    return [f"{found['below']:,}", f"about {found['expected']:.1f}", p_value_of_divisions(found)]


def _silenced(of: dict[str, Any], languages: list[str]) -> list[str]:
    return [f"{of['own']['neurons']:,}", *(_change(of, language) for language in languages)]


def _change(effects: dict[str, Any], language: str) -> str:
    own, others = (effects[which]["change"][language]["value"] for which in ("own", "others"))
    return f"{own:+.3f} ({others:+.3f})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
