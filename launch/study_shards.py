#!/usr/bin/env python3
r"""Spreads a study over the indices of a SLURM array or of an indexed Kubernetes Job.

    launch/study_shards.py slurm --shards 16 [--dry-run] CONFIG.yaml OUT
    launch/study_shards.py kubernetes --shards 16 --image REGISTRY/jaxprune:0.1.0 --claim shared \
      --limit nvidia.com/gpu=1 [--dry-run] /shared/CONFIG.yaml /shared/OUT

Index I of N runs ``jaxprune study CONFIG.yaml OUT --shard I/N``, I from 1 to N. The shards need nothing of each other
but the folder OUT, which all must share. A preempted shard is started again and goes on with its first unfinished
point; Kubernetes also repeats a failed one, unless the request was wrong (exit status 2). To finish what is missing in
the end, submit the same again. ``--dry-run`` prints what would be given to ``sbatch`` or to ``kubectl apply``.

With SLURM, account, partition, time limit, GPUs and so on are variables that sbatch reads itself: SBATCH_ACCOUNT,
SBATCH_PARTITION, SBATCH_TIMELIMIT, SBATCH_GPUS ...; jaxprune must be on the PATH there. With Kubernetes, keys of the
secret ``--secret``, such as HF_TOKEN, become variables of the shards. Needs Python 3.11 or newer and nothing else.
"""

import argparse
import json
import posixpath
import re
import shlex
import string
import subprocess
import sys
from collections.abc import Callable
from typing import NoReturn

# Every $name is filled in as JSON, which is YAML too: nothing that a user types can break out of its place.
TEMPLATE = string.Template("""\
apiVersion: batch/v1
kind: Job
metadata:
  name: $name
spec:
  completionMode: Indexed
  completions: $shards
  parallelism: $parallel
  # A shard that keeps failing leaves the others alone.
  backoffLimitPerIndex: $retries
  podFailurePolicy:
    rules:
      - action: FailIndex
        onExitCodes: {containerName: jaxprune, operator: In, values: [2]}
      - action: Ignore # a preemption is nobody's fault: it does not count
        onPodConditions:
          - {type: DisruptionTarget, status: "True"}
  template:
    spec:
      restartPolicy: Never
      nodeSelector: $selector
      containers:
        - name: jaxprune
          image: $image
          command: [sh, -c, $script, sh]
          args: $arguments
          envFrom:
            - secretRef: {name: $secret, optional: true}
          resources:
            limits: $limits
          volumeMounts:
            - {name: shared, mountPath: /shared}
      volumes:
        - name: shared
          persistentVolumeClaim: {claimName: $claim}
""")


def main() -> int:
    """Submits the array or the Job."""
    options = parse()
    study = ["jaxprune", "study", options.config, options.out, "--shard"]
    if options.scheduler == "slurm":
        submit = [
            "sbatch", f"--array=1-{options.shards}", "--job-name=jaxprune-study", "--requeue", "--open-mode=append",
            f'--wrap=exec {shlex.join(study)} "$SLURM_ARRAY_TASK_ID/{options.shards}"',
        ]  # fmt: skip
        if options.dry_run:
            print(shlex.join(submit))
            return 0
        return subprocess.run(submit, check=False).returncode
    job = render(options, study)
    if options.dry_run:
        print(job, end="")
        return 0
    return subprocess.run(["kubectl", "apply", "--filename=-"], input=job, text=True, check=False).returncode


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Ends the script."""
        self.exit(2, f"study_shards: {' '.join(message.split())} (--help explains)\n")


def parse() -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    schedulers = parser.add_subparsers(dest="scheduler", required=True)
    slurm = schedulers.add_parser("slurm", help="a job array")
    kubernetes = schedulers.add_parser("kubernetes", help="an indexed Job")
    for scheduler in (slurm, kubernetes):
        scheduler.add_argument("config", metavar="CONFIG", help="the study's file, where the shards find it")
        scheduler.add_argument("out", metavar="OUT", help="folder of the results, shared by all shards")
        scheduler.add_argument("--shards", type=number(1), required=True, metavar="N", help="into how many to divide")
        scheduler.add_argument("--dry-run", action="store_true", help="print, and submit nothing")
    kubernetes.add_argument("--name", default="jaxprune-study", help="of the Job (default: jaxprune-study)")
    kubernetes.add_argument("--image", required=True, help="container image with jaxprune")
    kubernetes.add_argument(
        "--claim", required=True, type=resource, help="PersistentVolumeClaim, ReadWriteMany, mounted as /shared"
    )
    kubernetes.add_argument("--parallel", type=number(1), metavar="K", help="how many run at a time (default: all)")
    kubernetes.add_argument("--retries", type=number(0), default=5, help="of a shard that failed (default: 5)")
    kubernetes.add_argument("--secret", type=resource, default="jaxprune", help="secret with variables; need not exist")
    kubernetes.add_argument("--limit", type=pair, action="append", default=[], help="RESOURCE=AMOUNT; repeat for more")
    kubernetes.add_argument("--node", type=pair, action="append", default=[], help="LABEL=VALUE; repeat for more")
    options = parser.parse_args()
    if options.scheduler == "kubernetes":
        # The names of the hosts are made of it, and each must be a label of RFC 1123.
        most = 63 - len(f"-{options.shards - 1}")
        if not re.fullmatch(f"[a-z0-9]([-a-z0-9]{{0,{most - 2}}}[a-z0-9])?", options.name):
            parser.error(
                f"argument --name: {options.name!r} is no name for a Job; use a-z, 0-9 and -, with no - at an end, and "
                f"keep it to {most} characters"
            )
        if not posixpath.normpath(options.out).startswith("/shared/"):
            parser.error(
                f"OUT is {options.out}, which is lost with the pod; put it in /shared, which is the volume of --claim"
            )
    return options


def number(least: int) -> Callable[[str], int]:
    """Returns what reads a whole number of at least ``least``."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} was given; give a whole number of at least {least}")
        return int(text)

    return read


def resource(text: str) -> str:
    """Reads the name of something that is in the cluster already."""
    if not re.fullmatch("[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name in Kubernetes; use a-z, 0-9, - and . only")
    return text


def pair(text: str) -> tuple[str, str]:
    """Reads NAME=VALUE."""
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise argparse.ArgumentTypeError(f"{text!r} was given; give NAME=VALUE")
    return name, value


def render(options: argparse.Namespace, study: list[str]) -> str:
    """Returns the Job as YAML; its indices begin at 0."""
    values = {
        "name": options.name,
        "shards": options.shards,
        "parallel": options.parallel or options.shards,
        "retries": options.retries,
        "selector": dict(options.node),
        "image": options.image,
        "script": verbatim(f'exec "$@" "$((JOB_COMPLETION_INDEX + 1))/{options.shards}"'),
        "arguments": [verbatim(word) for word in study],
        "secret": options.secret,
        "limits": dict(options.limit),
        "claim": options.claim,
    }
    return TEMPLATE.substitute({name: json.dumps(value, ensure_ascii=False) for name, value in values.items()})


def verbatim(text: str) -> str:
    """Returns the text so that Kubernetes, which replaces ``$(NAME)`` in arguments, leaves it as it was."""
    return text.replace("$", "$$")


if __name__ == "__main__":
    sys.exit(main())
