"""Progress as the harness shows it."""

import contextlib
from collections.abc import Iterator

from tqdm import tqdm

from jaxprune.sweep import OnTokens


@contextlib.contextmanager
def showing(what: str, total: int, *, disable: bool) -> Iterator[OnTokens]:
    """Shows a bar while the body runs; gives the listener for the tokens computed."""
    with tqdm(total=total, disable=disable, desc=what, unit="tok") as bar:

        def on_tokens(tokens: int) -> None:
            bar.update(tokens)

        yield on_tokens
