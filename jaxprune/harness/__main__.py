"""``python -m jaxprune.harness``: the ``lm_eval`` command, with ``--model jaxprune``."""

import sys

from jaxprune.errors import RequestError

HELP = """\
lm-evaluation-harness on models that jaxprune opens:

    python -m jaxprune.harness run --model jaxprune --model_args pretrained=MODEL[,NAME=VALUE...] --tasks TASK,...

Names for --model_args, all but the first optional:
  pretrained       a model, as on jaxprune's command line: a folder, sample:gemma3-270m, ...
  data, model      devices that share the sequences, and each kernel; default: all devices share the sequences
  dtype            of computation: float32 or bfloat16
  host_memory      gigabytes of hidden states that may lie in memory
  max_length       tokens of context and continuation
  max_gen_toks     tokens to generate where a task does not say; default: 256
  prefix_token_id  stands for an empty context
  seed             of sampling

All else is the harness's own, whose help follows.
"""


def main() -> None:
    """Runs the harness's command line."""
    if sys.argv[1:] in ([], ["-h"], ["--help"]):
        print(HELP, flush=True)
    try:
        import jaxprune.harness  # registers the backend

        del jaxprune
        from lm_eval.__main__ import cli_evaluate

        cli_evaluate()
    except RequestError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
