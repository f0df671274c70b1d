"""``jaxprune plan``."""

from typing import Annotated, Any

import typer

from jaxprune.cli import console, numbers, options


def command(
    model: Annotated[
        str,
        typer.Argument(
            help="The model: a name (llama-3-8b, llama-3-70b, aya-23-8b, aya-23-35b, qwen2.5-0.5b), a config.json or "
            "the folder of one, or whatever prune takes; its weights are not read.",
            metavar="MODEL",
            show_default=False,
        ),
    ],
    topology: Annotated[
        str,
        typer.Option(
            help="The devices: a TPU and its shape (v5e:2x4, v5p:2x2x2, v6e:16x16; no TPU is needed), cpu:N, or gpu:N "
            "for GPUs that are here.",
            show_default=False,
        ),
    ],
    method: options.Method = "wanda",
    pattern: options.PatternOption = "0.5",
    calibration: Annotated[
        str,
        typer.Option(
            help="Languages of the calibration text, as prune takes them: de,en,sw or de=96,en=32; only how many there "
            "are, and their sequences, matter."
        ),
    ] = "en",
    samples: options.Samples = None,
    length: options.Length = 2048,
    within: options.Within = None,
    combine: options.LanguageWeights = "sum",
    mesh: options.Mesh = None,
    device_memory: Annotated[
        float | None,
        numbers.real(
            "Gigabytes (1e9 bytes) of memory of each device. Default: what the TPU or GPU has; for cpu:N nothing "
            "to compare with.",
            show_default=False,
        ),
    ] = None,
    device_states: options.DeviceStates = None,
    dtype: options.Dtype = None,
    compute_dtype: options.ComputeDtype = None,
    json: options.Json = False,
) -> None:
    r"""Say what a prune takes, and whether it fits, before anything is run.

    Every step of the prune is compiled for the devices that you name, which need not be here (TPUs: pip install
    'jaxprune\\[plan]'). Times are lower bounds: products, memory or links at their full rate, whichever takes longest,
    without reading, writing and the way between host and device.

    [bold]Example:[/]  jaxprune plan llama-3-70b --topology v5e:4x4 --method sparsegpt
    """
    from jaxprune.data.calibration import parse_mix
    from jaxprune.jobs import plan as job
    from jaxprune.jobs.prune import check_widths
    from jaxprune.jobs.settings import parse_dtype, parse_method
    from jaxprune.planning.topologies import find_topology
    from jaxprune.pruning.patterns import parse_pattern
    from jaxprune.resources import parse_compute_dtype, parse_gigabytes
    from jaxprune.sharding import parse_mesh

    chosen = parse_method(method, combine=combine)
    sequences = parse_mix(calibration, samples)
    wanted = parse_pattern(pattern, within, chosen.default_scope)
    sizes = parse_mesh(mesh)
    weights = parse_dtype(dtype)
    memory_bytes = parse_gigabytes(device_memory, option="--device-memory")
    states_bytes = parse_gigabytes(device_states, option="--device-states")
    devices = find_topology(topology, memory_bytes)
    computed = parse_compute_dtype(compute_dtype, platform=devices.platform)
    with console.working(f"opening {model}"):
        source = job.find_source(model)
        check_widths(source.model, wanted)
    work = job.lay_out_work(
        source,
        devices,
        method=chosen,
        pattern=wanted,
        sequences=sequences,
        length=length,
        sizes=sizes,
        dtype=weights,
        compute_dtype=computed,
        device_bytes=states_bytes,
    )
    # embed, collect, propagate; a prune for each kernel and what is prepared for each activation, those that differ.
    with console.WorkProgress("plan", _most_programs(source.model, chosen), "programs") as bar:

        def report(step: str) -> None:
            bar.phase(f"compile {step}")
            bar.advance(1)

        result = job.plan(work, devices, report=report)
    if json:
        console.print_json(result)
    else:
        _print(result)


def _on_host(result: dict[str, Any]) -> str:
    if result["device"]["states_bytes"]:
        return "blocks; hidden states stay on the devices"
    return "hidden states (past --host-memory in a file), blocks"


def _most_programs(model: Any, method: Any) -> int:
    tensors = model.tensors("blocks/0")
    kernels = {(tensors[f"{linear}/kernel"].shape, name) for linear, name in model.family.reads.items()}
    if method.statistic is None:
        return len({shape for shape, _ in kernels})
    return 3 + len({shape for shape, _ in kernels}) + len({shape[1] for shape, _ in kernels})


def _print(result: dict[str, Any]) -> None:
    columns = ["phase", "peak GiB", "TFLOP", "float32 TFLOP", "memory TB", "links TB", "seconds", "bound by"]
    rows = []
    for name, phase in result["phases"].items():
        totals = [phase[name] / 1e12 for name in ("flops", "wide_flops", "bytes", "link_bytes")]
        peak = f"{phase['peak_bytes'] / 2**30:.2f}" + (" !" if phase["overflow"] else "")
        seconds = "" if phase["seconds"] is None else f"{phase['seconds']:.3g}"
        rows.append([name, peak, *(f"{total:.3g}" for total in totals), seconds, phase["bound_by"] or ""])
    mesh, batch, device = result["mesh"], result["microbatch"], result["device"]
    title = f"{result['topology']}, mesh data={mesh['data']},model={mesh['model']}; one device, the whole prune"
    console.out.print(console.table(title, columns, rows))
    has = device["memory_bytes"]
    fits = {True: "yes", False: "NO", None: "not known: say --device-memory"}[result["fits"]]
    of = f" of {has / 2**30:.2f} GiB" if has else ""
    disk = result["disk_bytes"]
    read, by_one = (f"{disk[name] / 1e9:.1f}" for name in ("read", "read_by_one_host"))
    of_one = "" if read == by_one else f" by all hosts ({by_one} by one)"
    summary = [
        ["fits", fits],
        ["device", f"peak {device['peak_bytes'] / 2**30:.2f} GiB{of}"],
        ["precision", f"weights {result['dtype']}, forward passes {result['compute_dtype']}"],
        ["microbatches", f"{batch['number']} of {batch['sequences']} x {batch['length']} tokens"],
        ["each host", f"{result['host_bytes'] / 2**30:.1f} GiB: {_on_host(result)}"],
        ["disk", f"{read} GB read{of_one}, {disk['written'] / 1e9:.1f} GB written"],
    ]
    if result["seconds"] is not None:
        summary.insert(1, ["seconds", f"{result['seconds']:.3g} at least, without reading and writing"])
    summary += [["to change" if i == 0 else "", line] for i, line in enumerate(result["advice"])]
    summary += [["note", line] for line in result["notes"]]
    overflow = next((phase["overflow"] for phase in result["phases"].values() if phase["overflow"]), None)
    if overflow:
        summary.append(["compiler", overflow])
    console.out.print(console.summary(summary))
