"""Listening sockets of a server that stops: no client may be connected to a socket that nobody will accept from.

The kernel completes connections on its own, and clients send their requests at once. If the last process closed the
socket then, these clients would lose their connection without an answer, and could not know whether their request was
carried out. So the socket is first told to ignore new connections (SYN), without touching those that exist. Clients
try again after a second: they then reach the next server, or are refused.
"""

import ctypes
import select
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27  # Linux: asm-generic/socket.h
SYN, SYN_OR_ACK, TCP_FLAGS = 0x02, 0x12, 13  # bits, and the byte of the TCP header in which they are
# Classic BPF: load the byte of flags; if only SYN is set of SYN and ACK, drop the segment, else accept it.
INSTRUCTIONS = ((0x30, 0, 0, TCP_FLAGS), (0x54, 0, 0, SYN_OR_ACK), (0x15, 0, 1, SYN), (0x06, 0, 0, 0), (0x06, 0, 0, ~0))


def ignore_before_close(listener: Any) -> None:
    """Make a listener of gunicorn's arbiter ignore new connections when the arbiter closes it.

    It closes its listeners when it stops, before it tells the workers, and never when workers are replaced.
    """
    if "close" in vars(listener):
        return
    close = listener.close

    def ignore_and_close() -> None:
        if listener.sock is not None:
            ignore_new(listener.sock)
        close()

    listener.close = ignore_and_close


def ignore_new(sock: socket.socket) -> None:
    """Ignore attempts to connect from now on; does nothing where the system has no such filters."""
    if sys.platform != "linux" or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    program = b"".join(struct.pack("HBBI", code, yes, no, k & 0xFFFFFFFF) for code, yes, no, k in INSTRUCTIONS)
    buffer = ctypes.create_string_buffer(program, len(program))
    with suppress(OSError):
        fprog = struct.pack("HP", len(INSTRUCTIONS), ctypes.addressof(buffer))
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, fprog)


def accept_again(listeners: Sequence[Any]) -> None:
    """Undo `ignore_new`: another server that shares these sockets has stopped, and this one has not.

    This is so after an upgrade of gunicorn (SIGUSR2), and with sockets that systemd holds.
    """
    for listener in listeners if sys.platform == "linux" else ():
        with suppress(OSError):  # there is no filter
            listener.socket.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


def has_waiting(listeners: Sequence[Any]) -> bool:
    """Whether a connection waits to be accepted."""
    poller = select.poll()
    for listener in listeners:
        poller.register(listener.socket, select.POLLIN)
    return bool(poller.poll(0))
