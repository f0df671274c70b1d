#!/usr/bin/env bash
#
# Runs one jaxprune command on every worker of a Cloud TPU slice at once, over ssh, and again until it is done.
#
#   TPU=my-slice ZONE=us-east5-a PACKAGE='jaxprune[tpu] @ file:///mnt/shared/jaxprune-0.1.0-py3-none-any.whl' \
#   SETUP='mountpoint -q /mnt/shared || sudo mount -t nfs 10.0.0.2:/share /mnt/shared' \
#     launch/tpu_pod.sh [--dry-run] prune MODEL /mnt/shared/OUT --calibration de --texts mc4 --mesh data=4,model=4
#
# The command gets --distributed, and prune gets --resume, so that each attempt goes on where the last one was stopped.
# MODEL and OUT come before the options, and OUT must lie in a folder that all workers share. --dry-run prints what
# would be done, and does nothing. Google now steers new users to GKE (gke_jobset.py) or Compute Engine: this is for
# slices made with "gcloud compute tpus".
#
#   TPU       name of the slice
#   ZONE      its zone
#   PACKAGE   what pip installs on each worker, with the extra "tpu"
#   PROJECT   Google Cloud project; empty: the one that gcloud is set to
#   SETUP     shell commands that each worker runs first at every attempt, such as mounting the shared folder
#   RECREATE  shell commands that this machine runs when the slice is not READY, such as deleting a preempted one and
#             creating it again; empty: wait for somebody else to do it
#   ATTEMPTS  how often the command is started at most (default 10)
#   WAIT      seconds between two attempts (default 60)
#
# Exit status: 0 done; 2 a wrong request, which is not repeated; otherwise that of the last attempt.

set -euo pipefail

# Prints a command, quoted where a shell needs it.
show() {
  local words
  words=$(printf ' %q' "$@")
  echo "${words:1}"
}

# Says in one line what is wrong, and ends the script.
refuse() {
  echo "tpu_pod: $1" >&2
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
if [[ $# -lt 2 || -z ${TPU:-} || -z ${ZONE:-} || -z ${PACKAGE:-} ]]; then
  echo "usage: TPU=... ZONE=... PACKAGE=... $0 [--dry-run] prune MODEL OUT [OPTIONS]   (see the head of this file)" >&2
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
attempts=${ATTEMPTS:-10}
wait=${WAIT:-60}
whole ATTEMPTS "$attempts" 1
whole WAIT "$wait" 0
started=$(date +%s)
slice=("$TPU" "--zone=$ZONE" ${PROJECT:+"--project=$PROJECT"})
command=("$@" --distributed)
manifest=
if [[ $1 == prune ]]; then
  command+=(--resume)
  manifest=$3/jaxprune/manifest.json
fi

# Prints what each worker runs.
worker() {
  echo "set -euo pipefail"
  # A process whose connection broke lives on for a while. It holds this lock, and the chips, until it ends.
  echo "exec 9> ~/.jaxprune.lock; flock 9"
  if [[ -n ${SETUP:-} ]]; then echo "$SETUP"; fi
  if [[ -n $manifest ]]; then
    echo "finished=\$(stat -c %Y $(show "$manifest") 2> /dev/null || echo 0)"
    echo "if [ \"\$finished\" -ge $started ]; then echo 'already done'; exit 0; fi"
  fi
  # With uv, because the images bring an older Python than jaxprune needs.
  echo "python3 -m pip install --quiet --user uv"
  echo "python3 -m uv venv --quiet --allow-existing --python 3.12 ~/jaxprune-environment"
  echo "python3 -m uv pip install --quiet --python ~/jaxprune-environment/bin/python $(show "$PACKAGE")"
  echo "exec ~/jaxprune-environment/bin/jaxprune $(show "${command[@]}")"
}

describe=(gcloud compute tpus tpu-vm describe "${slice[@]}" "--format=value(state)")
ssh=(gcloud compute tpus tpu-vm ssh "${slice[@]}" --worker=all "--ssh-flag=-o ServerAliveInterval=30")
if $dry_run; then
  echo "# This machine, until the exit status is 0 or 2, at most $attempts times:"
  show "${describe[@]}"
  if [[ -n ${RECREATE:-} ]]; then echo "$RECREATE   # unless that says READY"; fi
  show "${ssh[@]}" --command=...
  echo "# Every worker:"
  worker
  exit 0
fi

trap 'exit 130' INT TERM
status=1
for ((attempt = 1; attempt <= attempts; attempt++)); do
  if [[ $attempt -gt 1 ]]; then sleep "$wait"; fi
  state=$("${describe[@]}") || state=missing
  echo "tpu_pod: attempt $attempt of $attempts, $TPU is $state" >&2
  if [[ $state != READY && -n ${RECREATE:-} ]]; then
    bash -c "$RECREATE" || continue
  fi
  status=0
  "${ssh[@]}" --command="$(worker)" || status=$?
  if [[ $status == 0 || $status == 2 ]]; then exit "$status"; fi
  echo "tpu_pod: attempt $attempt ended with status $status" >&2
done
echo "tpu_pod: given up after $attempts attempts; the same command would go on from there" >&2
exit "$status"
