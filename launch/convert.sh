#!/usr/bin/env bash
#
# Converts a checkpoint from where it is to where it shall be, by way of the local disk: the hub, a bucket, a folder.
#
#   launch/convert.sh [--dry-run] meta-llama/Llama-3.1-8B gs://bucket/llama-8b --to orbax --dtype bfloat16
#   launch/convert.sh [--dry-run] gs://bucket/llama-8b /mnt/shared/llama-8b-hf --to huggingface
#
# usage: convert.sh SOURCE DESTINATION OPTIONS, the options being those of "jaxprune convert". A name with "://" in it is
# copied with COPY, before or after the conversion; any other goes to jaxprune as it is. One machine, no accelerator, no
# scheduler: it is the command of a SLURM job, of a Kubernetes job, or of a shell. An interrupted upload is finished with
# CONTINUE=yes; the destination is complete when this script has ended with 0, and not before.
#
#   COPY      command that copies the contents of one folder into another, both appended; split into words at spaces
#             (default "gcloud storage rsync --recursive"; for S3 "aws s3 sync")
#   LIST      command that succeeds if what is appended exists (default "gcloud storage ls"; for S3 "aws s3 ls")
#   STAGE     folder on a local disk, with room for the source and the result (default: TMPDIR, or /tmp); what is made
#             in it is removed at the end
#   CONTINUE  "yes" copies into a destination that exists already: that of an interrupted run of the same conversion
#   HF_HUB_CACHE, HF_TOKEN   the hub's cache (default: in STAGE) and, for gated models, its token
#
# Exit status: 0 done; 2 a wrong request; otherwise that of the step that failed.

set -euo pipefail

dry_run=false
if [[ ${1:-} == --dry-run ]]; then
  dry_run=true
  shift
fi
if [[ $# -lt 4 ]]; then
  echo "usage: $0 [--dry-run] SOURCE DESTINATION --to huggingface|orbax [--dtype ...]   (see the head of this file)" >&2
  exit 2
fi
source=$1
destination=$2
options=("${@:3}")
read -ra copy <<< "${COPY:-gcloud storage rsync --recursive}"
read -ra list <<< "${LIST:-gcloud storage ls}"

# Prints a command, quoted where a shell needs it.
show() {
  local words
  words=$(printf ' %q' "$@")
  echo "${words:1}"
}

# Runs a command after saying so; only says so in a dry run.
step() {
  if $dry_run; then
    show "$@"
  else
    show "$@" >&2
    "$@"
  fi
}

if $dry_run; then
  stage=${STAGE:-${TMPDIR:-/tmp}}/jaxprune-convert.XXXXXX
else
  stage=$(mktemp -d "${STAGE:-${TMPDIR:-/tmp}}/jaxprune-convert.XXXXXX")
  trap 'rm -rf "$stage"' EXIT
  trap 'exit 130' INT TERM
fi
export HF_HUB_CACHE=${HF_HUB_CACHE:-$stage/hub}

if [[ $destination == *://* && ${CONTINUE:-} != yes ]]; then
  if $dry_run; then
    echo "$(show "${list[@]}" "$destination")   # must find nothing"
  elif "${list[@]}" "$destination" > /dev/null 2>&1; then
    echo "convert: $destination exists; choose another name, or finish an interrupted copy with CONTINUE=yes" >&2
    exit 2
  fi
fi
model=$source
if [[ $source == *://* ]]; then
  model=$stage/source
  step mkdir "$model"
  step "${copy[@]}" "$source" "$model"
fi
if [[ $destination == *://* ]]; then
  step jaxprune convert "$model" "$stage/result" "${options[@]}"
  step "${copy[@]}" "$stage/result" "$destination"
else
  step jaxprune convert "$model" "$destination" "${options[@]}"
fi
if ! $dry_run; then echo "convert: $destination is complete" >&2; fi
