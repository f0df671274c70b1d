"""Writes to the disk while what is to be written next is computed."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import jax

from jaxprune.distributed import together


def _nothing() -> None:
    """Does nothing."""


class WriteBehind:
    """One piece of work at a time on a thread of its own; of several processes, all have the same pieces."""

    def __init__(self) -> None:
        """Starts the thread."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write-behind")
        self._running: tuple[Future[None], Callable[[], None]] | None = None

    def __enter__(self) -> "WriteBehind":
        """Returns itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends when the thread does; what went wrong there after another error is not told."""
        self._thread.shutdown()

    def start(self, work: Callable[[], None], then: Callable[[], None] = _nothing) -> None:
        """Begins ``work`` when the piece before it is done.

        Args:
          then: done when all processes have done their work: at once by one that is alone, else when the next piece
            comes.

        Raises:
          RequestError: in every process, if the piece before failed in any.
        """
        self.finish()
        if jax.process_count() > 1:
            self._running = self._thread.submit(work), then
            return

        def work_and_then() -> None:
            work()
            then()

        self._running = self._thread.submit(work_and_then), _nothing

    def finish(self) -> None:
        """Waits for the piece that has begun.

        Raises:
          RequestError: in every process, if it failed in any.
        """
        if self._running is None:
            return
        (future, then), self._running = self._running, None
        with together():
            future.result()
        then()
