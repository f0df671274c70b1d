#!/usr/bin/env bash
#
# Runs one jaxprune command on GPUs under SLURM, one process a GPU, and again after a preemption until it is done.
#
#   NODES=2 GPUS_PER_NODE=8 SBATCH_PARTITION=gpu SBATCH_TIMELIMIT=24:00:00 \
#     launch/slurm_gpus.sh [--dry-run] prune MODEL OUT --calibration de --texts mc4 --mesh data=8,model=2
#
# Submits itself with sbatch, and inside the job starts the command with srun. The command gets --distributed (JAX finds
# the other processes through SLURM's variables), and prune gets --resume: a job that was preempted, lost a node or ran
# out of time is queued again and goes on where it was stopped. MODEL and OUT come before the options, OUT must lie on a
# file system that all nodes share, and jaxprune be on the PATH there. --dry-run prints what would be done, and does
# nothing.
#
#   NODES             how many nodes (default 1)
#   GPUS_PER_NODE     GPUs of each node (default 8)
#   CPUS_PER_GPU      cores for each process (default 8)
#   MAX_RESTARTS      how often the job is queued again after it ran out of time (default 20); SLURM limits the rest
#   SBATCH_...        account, partition, time limit and so on: sbatch reads SBATCH_ACCOUNT, SBATCH_PARTITION,
#                     SBATCH_TIMELIMIT, SBATCH_QOS, SBATCH_CONSTRAINT, SBATCH_MEM_PER_NODE ... itself
#   JAXPRUNE_STARTED  set by this script: when the job was submitted, in seconds since 1970
#
# Exit status: that of sbatch; in the job, that of the command.

set -euo pipefail

# Prints a command, quoted where a shell needs it.
show() {
  local words
  words=$(printf ' %q' "$@")
  echo "${words:1}"
}

# Says in one line what is wrong, and ends the script.
refuse() {
  echo "slurm_gpus: $1" >&2
  exit 2
}

# Refuses the variable $1 with the value $2 unless that is a whole number of at least $3.
whole() {
  if [[ ! $2 =~ ^(0|[1-9][0-9]{0,9})$ || $2 -lt $3 ]]; then
    refuse "$1 is $(show "$2"); set it to a whole number of at least $3"
  fi
}

dry_run=false
if [[ ${1:-} == --dry-run ]]; then
  dry_run=true
  shift
fi
if [[ $# -lt 2 ]]; then
  echo "usage: NODES=... GPUS_PER_NODE=... $0 [--dry-run] prune MODEL OUT [OPTIONS]   (see the head of this file)" >&2
  exit 2
fi
# The third word is where the result is looked for. What is empty or missing counts as an option here.
case $1 in
  prune)
    if [[ ${2:--} == -* || ${3:--} == -* ]]; then
      refuse "asked for $(show "$@"), which has no MODEL and OUT after prune; put these two first, then the options"
    fi
    ;;
  jaxprune | -*) refuse "asked for $(show "$@"), which is no command of jaxprune; start with prune or another one" ;;
esac
nodes=${NODES:-1}
gpus=${GPUS_PER_NODE:-8}
cpus=${CPUS_PER_GPU:-8}
max_restarts=${MAX_RESTARTS:-20}
export JAXPRUNE_STARTED=${JAXPRUNE_STARTED:-$(date +%s)}
whole NODES "$nodes" 1
whole GPUS_PER_NODE "$gpus" 1
whole CPUS_PER_GPU "$cpus" 1
whole MAX_RESTARTS "$max_restarts" 0
whole JAXPRUNE_STARTED "$JAXPRUNE_STARTED" 0

# USR1 comes to the batch script two minutes before the time is up.
submit=(
  sbatch "--nodes=$nodes" "--ntasks-per-node=$gpus" "--gpus-per-node=$gpus" "--cpus-per-task=$cpus"
  --job-name=jaxprune --requeue --open-mode=append --signal=B:USR1@120 --export=ALL "$0" "$@"
)
# Every process sees all GPUs of its node, for JAX picks its own by SLURM_LOCALID: no binding, no --gpus-per-task.
start=(
  srun "--nodes=$nodes" "--ntasks-per-node=$gpus" "--cpus-per-task=$cpus" --gpu-bind=none --kill-on-bad-exit=1
  --label jaxprune "$@" --distributed
)
if [[ $1 == prune ]]; then start+=(--resume); fi

if $dry_run; then
  echo "# Here:"
  show "${submit[@]}"
  echo "# In the job:"
  show "${start[@]}"
  exit 0
fi
if [[ -z ${SLURM_JOB_ID:-} ]]; then
  exec "${submit[@]}"
fi

if [[ $1 == prune ]]; then
  finished=$(stat -c %Y "$3/jaxprune/manifest.json" 2> /dev/null || echo 0)
  if [[ $finished -ge $JAXPRUNE_STARTED ]]; then
    echo "slurm_gpus: $3 was finished before this job was queued again" >&2
    exit 0
  fi
fi

# In the background, because bash acts on a signal only between commands, or when it interrupts "wait".
out_of_time=false
trap 'out_of_time=true' USR1
"${start[@]}" &
status=0
wait $! || status=$?
if $out_of_time; then
  restarts=${SLURM_RESTART_COUNT:-0}
  if [[ $restarts -lt $max_restarts ]]; then
    echo "slurm_gpus: out of time, queued again" >&2
    scontrol requeue "$SLURM_JOB_ID"
  else
    echo "slurm_gpus: out of time after $restarts restarts; submit it again to go on" >&2
  fi
  status=0
  wait $! || status=$?
fi
exit "$status"
