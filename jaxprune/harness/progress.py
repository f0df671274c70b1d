"""Progress as the harness shows it."""

import contextlib
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from tqdm import tqdm

from jaxprune.sweep import OnTokens


@runtime_checkable
class Showing(Protocol):
    """Shows how far something is."""

    def __call__(self, what: str, total: int, *, disable: bool) -> contextlib.AbstractContextManager[OnTokens]:
        """Is shown while the body runs; gives the listener for the tokens computed, ``total`` of them."""
        ...


@contextlib.contextmanager
def showing(what: str, total: int, *, disable: bool) -> Iterator[OnTokens]:
    """Shows a bar."""
    with tqdm(total=total, disable=disable, desc=what, unit="tok") as bar:

        def on_tokens(tokens: int) -> None:
            bar.update(tokens)

        yield on_tokens
