#!/usr/bin/env python3
r"""Runs one jaxprune command on TPU slices of GKE, as a JobSet, and again after a preemption until it is done.

    launch/gke_jobset.py --name llama-sw --image REGISTRY/jaxprune:0.1.0 --accelerator tpu-v5p-slice --topology 2x2x2 \
      --claim shared [--dry-run] -- prune MODEL /shared/OUT --calibration sw --texts mc4 --mesh data=4,model=2

Fills the template below in and gives it to ``kubectl apply``; ``--dry-run`` prints it instead. The command gets
``--distributed`` (JAX finds the other processes through what GKE sets), and ``prune`` gets ``--resume``. When a pod is
preempted or fails, JobSet starts all of them again, at most ``--max-restarts`` times, and the command goes on where it
was stopped; a wrong request (exit status 2) ends the JobSet at once. MODEL and OUT come before the options, and OUT
must lie in /shared, the volume of --claim.

The cluster needs JobSet 0.6 or newer; with Kueue, as xpk sets clusters up, the job waits in ``--queue``, and ``xpk
workload list`` shows it. The image needs ``pip install jaxprune[tpu]``. Keys of the secret ``--secret``, such as
HF_TOKEN, become variables of the processes. Needs Python 3.11 or newer and nothing else.
"""

import argparse
import json
import math
import posixpath
import re
import shlex
import string
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NoReturn

# Every $name is filled in as JSON, which is YAML too: nothing that a user types can break out of its place.
TEMPLATE = string.Template("""\
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: $name
  labels:
    kueue.x-k8s.io/queue-name: $queue
    xpk.google.com/workload: $name
  annotations:
    # One slice is one node pool, and no two slices share one.
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
spec:
  failurePolicy:
    maxRestarts: $max_restarts
    rules:
      - name: wrongRequest
        action: FailJobSet
        onJobFailureReasons: [PodFailurePolicy]
  replicatedJobs:
    - name: slice-job
      replicas: $slices
      template:
        spec:
          completionMode: Indexed
          parallelism: $hosts
          completions: $hosts
          # All processes need each other, so one that fails fails the slice, and JobSet starts everything again.
          backoffLimit: 0
          podFailurePolicy:
            rules:
              - action: FailJob
                onExitCodes: {containerName: jaxprune, operator: In, values: [2]}
          template:
            metadata:
              labels:
                xpk.google.com/workload: $name
            spec:
              restartPolicy: Never
              nodeSelector:
                cloud.google.com/gke-tpu-accelerator: $accelerator
                cloud.google.com/gke-tpu-topology: $topology
              tolerations:
                - {key: google.com/tpu, operator: Exists}
              containers:
                - name: jaxprune
                  image: $image
                  command: [sh, -c, $script, sh]
                  args: $arguments
                  env:
                    - {name: JAXPRUNE_STARTED, value: $started}
                    - {name: MANIFEST, value: $manifest}
                  envFrom:
                    - secretRef: {name: $secret, optional: true}
                  resources:
                    limits: {google.com/tpu: $chips}
                  volumeMounts:
                    - {name: shared, mountPath: /shared}
              volumes:
                - name: shared
                  persistentVolumeClaim: {claimName: $claim}
""")

# A pod can be started again after its command was done, when another pod of the slice was lost at the very end.
SCRIPT = """\
if [ "$(stat -c %Y "$MANIFEST" 2> /dev/null || echo 0)" -ge "$JAXPRUNE_STARTED" ]; then echo "already done"; exit 0; fi
exec jaxprune "$@"
"""


def main() -> int:
    """Fills the template in and applies it."""
    options = parse()
    job = render(options)
    if options.dry_run:
        print(job, end="")
        return 0
    return subprocess.run(["kubectl", "apply", "--filename=-"], input=job, text=True, check=False).returncode


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Ends the script."""
        self.exit(2, f"gke_jobset: {' '.join(message.split())} (--help explains)\n")


def parse() -> argparse.Namespace:
    """Reads the command line; whatever follows ``--`` is the command."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--name", required=True, help="of the JobSet")
    parser.add_argument("--image", required=True, help="container image with jaxprune")
    parser.add_argument("--accelerator", required=True, help="tpu-v5-lite-podslice, tpu-v5p-slice, tpu-v6e-slice ...")
    parser.add_argument("--topology", required=True, type=topology, help="chips of a slice, such as 4x4 or 2x2x2")
    parser.add_argument("--chips-per-host", type=number(1), default=4, help="default: 4")
    parser.add_argument("--slices", type=number(1), default=1, help="how many slices (default: 1)")
    parser.add_argument(
        "--claim", required=True, type=resource, help="PersistentVolumeClaim, ReadWriteMany, mounted as /shared"
    )
    parser.add_argument(
        "--queue", type=resource, default="multislice-queue", help="Kueue's LocalQueue (default: xpk's)"
    )
    parser.add_argument(
        "--secret", type=resource, default="jaxprune", help="secret with variables; need not exist (default: jaxprune)"
    )
    parser.add_argument("--max-restarts", type=number(0), default=20, help="default: 20")
    parser.add_argument("--dry-run", action="store_true", help="print the YAML, and apply nothing")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="after --: prune MODEL OUT OPTIONS, or another")
    options = parser.parse_args()
    chips = math.prod(map(int, options.topology.split("x")))
    if chips % options.chips_per_host:
        parser.error(
            f"a {options.topology} slice has no whole number of hosts with {options.chips_per_host} chips; change "
            "--topology or --chips-per-host"
        )
    # JobSet makes the names of its pods of it, and each must be a label of RFC 1035.
    most = 63 - len(f"-slice-job-{options.slices - 1}-{chips // options.chips_per_host - 1}-abcde")
    if not re.fullmatch(f"[a-z]([-a-z0-9]{{0,{most - 2}}}[a-z0-9])?", options.name):
        parser.error(
            f"argument --name: {options.name!r} is no name for a JobSet; use a-z, 0-9 and -, begin with a letter, end "
            f"with no -, and keep it to {most} characters"
        )
    check(options.command, parser)
    return options


def check(command: list[str], parser: Parser) -> None:
    """Ends the script if the command is one whose result would be lost, or not be found after a restart."""
    asked = f"asked for {shlex.join(command)}"
    if command[0] == "jaxprune" or command[0].startswith("-"):
        parser.error(f"{asked}, which is no command of jaxprune; start with prune or another one")
    if command[0] != "prune":
        return
    places = command[1:3]
    if len(places) < 2 or any(not place or place.startswith("-") for place in places):
        parser.error(f"{asked}, which has no MODEL and OUT after prune; put these two first, then the options")
    if not posixpath.normpath(places[1]).startswith("/shared/"):
        parser.error(
            f"{asked}, but {places[1]} is lost with the pod; put OUT in /shared, which is the volume of --claim"
        )


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


def topology(text: str) -> str:
    """Reads a topology."""
    if not re.fullmatch("[1-9][0-9]{0,3}(x[1-9][0-9]{0,3})*", text):
        raise argparse.ArgumentTypeError(f"{text!r} was given; give chips a side, such as 4x4 or 2x2x2")
    return text


def render(options: argparse.Namespace) -> str:
    """Returns the JobSet as YAML."""
    is_prune = options.command[0] == "prune"
    arguments = [*options.command, "--distributed", *(["--resume"] if is_prune else [])]
    values = {
        "name": options.name,
        "queue": options.queue,
        "max_restarts": options.max_restarts,
        "slices": options.slices,
        "hosts": math.prod(map(int, options.topology.split("x"))) // options.chips_per_host,
        "accelerator": options.accelerator,
        "topology": options.topology,
        "image": options.image,
        "script": verbatim(SCRIPT),
        "arguments": [verbatim(argument) for argument in arguments],
        "started": str(int(time.time())),
        "manifest": verbatim(f"{options.command[2]}/jaxprune/manifest.json") if is_prune else "/none",
        "secret": options.secret,
        "chips": str(options.chips_per_host),
        "claim": options.claim,
    }
    return TEMPLATE.substitute({name: json.dumps(value, ensure_ascii=False) for name, value in values.items()})


def verbatim(text: str) -> str:
    """Returns the text so that Kubernetes, which replaces ``$(NAME)`` in arguments, leaves it as it was."""
    return text.replace("$", "$$")


if __name__ == "__main__":
    sys.exit(main())
