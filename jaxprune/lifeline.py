"""Tells a process at once when one that it works with has died, wherever it is waiting at that moment.

Every process holds a connection to the first one and says goodbye before it closes it. One that closes without a word
has died: the operating system closes what a process leaves open. JAX itself would notice after half a minute, and ends
the process from within, with a page of internals.
"""

import logging
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

_logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 20.0
_GOODBYE = b"."
_TOKEN_BYTES = 16

# Of the process, as its membership among the others is.
_is_leaving = threading.Event()

Share = Callable[[bytes], bytes]
"""Gives every process the bytes that the first one has."""


class Lifeline:
    """The connections of this process: to the first process, or from the first process to all others."""

    def __init__(self, host: str, index: int, count: int, share: Share):
        """Connects; where no connection is possible, says so, and JAX's own heartbeat has to do.

        Args:
          host: of the first process.
          index: of this process.
          count: of all.
        """
        self._connections: list[socket.socket] = []
        try:
            if index == 0:
                self._accept(count, share)
            else:
                self._connect(host, index, share)
        except OSError as error:
            _logger.warning(
                "process %d: no second connection to the first process (%s); a process that dies is noticed later",
                index,
                error.strerror or error,
            )
        for connection in self._connections:
            threading.Thread(target=self._watch, args=(connection, index), daemon=True).start()

    def let_go(self) -> None:
        """Says goodbye: that this process ends is no accident."""
        for connection in self._connections:
            with suppress(OSError):
                connection.sendall(_GOODBYE)

    def _accept(self, count: int, share: Share) -> None:
        with socket.create_server(("", 0), backlog=count) as server:
            token = secrets.token_bytes(_TOKEN_BYTES)
            share(server.getsockname()[1].to_bytes(2, "big") + token)
            server.settimeout(_CONNECT_SECONDS)
            while len(self._connections) < count - 1:
                connection, _ = server.accept()
                connection.settimeout(_CONNECT_SECONDS)
                # Whoever else finds the port is not one of us.
                if secrets.compare_digest(_receive(connection, _TOKEN_BYTES), token):
                    self._connections.append(connection)
                else:
                    connection.close()

    def _connect(self, host: str, index: int, share: Share) -> None:
        shared = share(b"")
        connection = socket.create_connection((host, int.from_bytes(shared[:2], "big")), _CONNECT_SECONDS)
        connection.sendall(shared[2:])
        self._connections.append(connection)

    def _watch(self, connection: socket.socket, index: int) -> None:
        connection.settimeout(None)
        _keep_alive(connection)
        if _receive(connection, 1) != _GOODBYE and not _is_leaving.is_set():
            end_without_the_others(index, "a connection was closed without a goodbye")


def _keep_alive(connection: socket.socket) -> None:
    """Lets the operating system notice within half a minute that the other machine is gone without a word."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Not every system has a name for each of these; the times are two hours where it has none.
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def stop_watching() -> None:
    """Lets this process end by itself, for a reason that it has already told."""
    _is_leaving.set()


def end_with_an_error(index: int, reason: str) -> NoReturn:
    """Ends this process at once for an error of its own: the ordinary way out waits for every process."""
    _end("process %d failed, and the others end with it (%s).", index, reason)


def end_without_the_others(index: int, reason: str) -> NoReturn:
    """Ends this process at once: the ordinary way out waits for every process, and one is not coming."""
    _end(
        "process %d lost the others (%s): one of them has died, or the network has. Look at their logs, then start all "
        "of them again; jaxprune prune with --resume, and blocks that are done are not done again.",
        index,
        reason,
    )


def _end(message: str, index: int, reason: str) -> NoReturn:
    _logger.error(message, index, reason)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _receive(connection: socket.socket, count: int) -> bytes:
    """Returns ``count`` bytes, or fewer if the connection ended."""
    received = b""
    with suppress(OSError):
        while len(received) < count and (part := connection.recv(count - len(received))):
            received += part
    return received
