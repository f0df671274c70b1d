"""What happens on SIGTERM: a word on how to go on, and the end at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from jaxprune.cli import console

_GOES_ON = {
    "prune": "interrupted; what had begun is continued by the same command with --resume",
    "analyze": "interrupted; nothing was written, and the same command starts anew",
    "study": "interrupted; what had begun is continued by the same command",
}


def hint(command: str) -> str:
    """Returns what to say of a command that was interrupted: how to go on with it, if that is possible."""
    return _GOES_ON.get(command, "interrupted")


@contextlib.contextmanager
def ended_by_sigterm(command: str) -> Iterator[None]:
    """Ends the process with status 143 and the command's hint on SIGTERM, whatever it is doing in the body.

    A handler in Python would wait for the main thread, which may compute for minutes outside of Python, or wait there
    for another process. What is told below Python at once is a pipe, so a thread listens to that.
    """
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield  # somebody else deals with it, or it is to be ignored
        return
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    # Has to be there for the pipe to be told; the thread does what is to be done.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    pipe_before = signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    thread = threading.Thread(target=_listen, args=(told, hint(command)), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(pipe_before)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(tell)
        thread.join()
        os.close(told)


def _listen(told: int, said: str) -> None:
    # Other signals that have a handler come the same way: Ctrl-C is Typer's.
    while numbers := os.read(told, 1):
        if numbers[0] == signal.SIGTERM:
            console.err.print(said)
            console.err.show_cursor()
            os._exit(128 + signal.SIGTERM)
