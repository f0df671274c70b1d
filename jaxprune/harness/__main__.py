"""``python -m jaxprune.harness``: the ``lm_eval`` command, with ``--model jaxprune``."""

import sys

from jaxprune.errors import RequestError


def main() -> None:
    """Runs the harness's command line."""
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
