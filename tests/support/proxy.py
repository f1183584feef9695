"""A proxy between the shop and PostgreSQL, which cuts, delays or half-closes a connection where it is told to."""

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from select import select
from typing import Self

SOCKET = ".s.PGSQL.5432"
BEFORE, AFTER, HALF, LATE = "before", "after", "half closed", "late"


class Proxy:
    """Passes everything on between `folder`, in which the shop looks for the server, and the server's own folder.

    `arm(number, how)` lets something happen to the message of that number that the shop sends from then on: the
    connection is cut `before` it or `after` it was worked on, `half closed`, or its answer comes `late`.
    """

    def __init__(self, server: Path, folder: Path) -> None:
        self.server, self.path = server / SOCKET, folder / SOCKET
        self.lock, self.number, self.how, self.hit = threading.Lock(), 0, "", False
        self.listening = socket.socket(socket.AF_UNIX)

    def arm(self, number: int, how: str) -> None:
        with self.lock:
            self.number, self.how, self.hit = number, how, False

    def disarm(self) -> bool:
        """Pass everything on from now on; returns whether anything had happened."""
        with self.lock:
            self.number = 0
            return self.hit

    def __enter__(self) -> Self:
        self.listening.bind(str(self.path))
        self.listening.listen(50)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.listening.close()

    def _accept(self) -> None:
        while True:
            try:
                shop, _address = self.listening.accept()
            except OSError:  # closed
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self.server))
            threading.Thread(target=self._pass_on, args=(shop, server), daemon=True).start()

    def _what_happens(self) -> str:
        with self.lock:
            if not self.number:
                return ""
            self.number -= 1
            self.hit = self.number == 0
            return self.how if self.hit else ""

    def _pass_on(self, shop: socket.socket, server: socket.socket) -> None:
        with shop, server, suppress(OSError):  # one of the two has hung up
            while True:
                for side in select([shop, server], [], [])[0]:
                    if not (data := _read(side)) or not self._send(data, side, shop, server):
                        return

    def _send(self, data: bytes, side: socket.socket, shop: socket.socket, server: socket.socket) -> bool:
        """Pass a message on, unless the connection is to be cut; returns whether it lives on."""
        happens = self._what_happens() if side is shop else ""
        if happens == BEFORE:
            return False
        (server if side is shop else shop).sendall(data)
        if happens == HALF:
            shop.shutdown(socket.SHUT_WR)
        if happens in {AFTER, LATE}:
            answer = _read(server)
            if happens == AFTER:
                return False
            time.sleep(0.1)
            shop.sendall(answer)
        return True


def _read(side: socket.socket) -> bytes:
    try:
        return side.recv(1 << 20)
    except OSError:
        return b""
