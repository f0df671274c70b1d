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
#   LIST      command that ends with 0 if what is appended exists, and otherwise with 1 and either no message or gcloud's
#             "matched no objects" (default "gcloud storage ls"; for S3 "aws s3 ls"); anything else, such as a missing
#             login, stops this script before it copies
#   STAGE     folder on a local disk, with room for the source and the result (default: TMPDIR, or /tmp); what is made
#             in it is removed at the end
#   CONTINUE  "yes" copies into a destination that exists already: that of an interrupted run of the same conversion
#   HF_HUB_CACHE, HF_TOKEN   the hub's cache (default: in STAGE) and, for gated models, its token
#
# Exit status: 0 done; 2 a wrong request; otherwise that of the step that failed.

set -euo pipefail

# Prints a command, quoted where a shell needs it.
show() {
  local words
  words=$(printf ' %q' "$@")
  echo "${words:1}"
}

# Says in one line what is wrong, and ends the script with the status $2, or 2.
refuse() {
  echo "convert: $1" >&2
  exit "${2:-2}"
}

# Refuses the value of the option $1 (empty where it is missing) unless it fits the pattern $2; $3 says what would.
choose() {
  local value='' i
  for ((i = 0; i < ${#options[@]}; i++)); do
    case ${options[i]} in
      "$1") value=${options[i + 1]:-} ;;
      "$1"=*) value=${options[i]#*=} ;;
    esac
  done
  if [[ ! $value =~ ^($2)$ ]]; then refuse "asked for $1 $(show "$value"); choose $3"; fi
}

dry_run=false
if [[ ${1:-} == --dry-run ]]; then
  dry_run=true
  shift
fi
if [[ $# -lt 3 ]]; then
  echo "usage: $0 [--dry-run] SOURCE DESTINATION --to huggingface|orbax [--dtype ...]   (see the head of this file)" >&2
  exit 2
fi
source=$1
destination=$2
options=("${@:3}")
# What is empty counts as an option here.
if [[ ${1:--} == -* || ${2:--} == -* ]]; then
  refuse "asked for $(show "$@"), which begins with no SOURCE and DESTINATION; put these two first, then the options"
fi
choose --to 'huggingface|orbax' 'huggingface or orbax'
choose --dtype '|float32|bfloat16|float16' 'float32, bfloat16 or float16, or leave it out'
read -ra copy <<< "${COPY:-gcloud storage rsync --recursive}"
read -ra list <<< "${LIST:-gcloud storage ls}"

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
  else
    status=0
    said=$("${list[@]}" "$destination" 2>&1 > /dev/null) || status=$?
    if [[ $status == 0 ]]; then
      refuse "$destination exists; choose another name, or finish an interrupted copy with CONTINUE=yes"
    elif [[ $status != 1 || (-n $said && $said != *"matched no objects"*) ]]; then
      refuse "cannot tell whether $destination is free: $(show "${list[@]}" "$destination") ended with status $status and said \
\"${said//$'\n'/ }\"; make it work, or set CONTINUE=yes to copy unasked" "$status"
    fi
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
