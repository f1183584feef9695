"""A proxy between the shop and PostgreSQL that cuts, delays or half-closes a connection on demand."""

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
    """Forwards everything between `folder`, where the shop connects, and the server's own folder.

    `arm(number, how)` triggers a fault at the message with that number, counted from then on: the connection is cut
    `before` the server gets it or `after` the server replied, `half closed`, or the reply comes `late`.
    """

    def __init__(self, server: Path, folder: Path) -> None:
        self.server, self.path = server / SOCKET, folder / SOCKET
        self.lock, self.number, self.how, self.hit = threading.Lock(), 0, "", False
        self.listening = socket.socket(socket.AF_UNIX)

    def arm(self, number: int, how: str) -> None:
        with self.lock:
            self.number, self.how, self.hit = number, how, False

    def disarm(self) -> bool:
        """Forward everything from now on; return whether the fault was triggered."""
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
            threading.Thread(target=self._forward, args=(shop, server), daemon=True).start()

    def _fault(self) -> str:
        with self.lock:
            if not self.number:
                return ""
            self.number -= 1
            self.hit = self.number == 0
            return self.how if self.hit else ""

    def _forward(self, shop: socket.socket, server: socket.socket) -> None:
        with shop, server, suppress(OSError):  # one of the two has disconnected
            while True:
                for side in select([shop, server], [], [])[0]:
                    if not (data := _read(side)) or not self._send(data, side, shop, server):
                        return

    def _send(self, data: bytes, side: socket.socket, shop: socket.socket, server: socket.socket) -> bool:
        """Forward a message unless the connection is to be cut; return whether the connection stays open."""
        fault = self._fault() if side is shop else ""
        if fault == BEFORE:
            return False
        (server if side is shop else shop).sendall(data)
        if fault == HALF:
            shop.shutdown(socket.SHUT_WR)
        if fault in {AFTER, LATE}:
            answer = _read(server)
            if fault == AFTER:
                return False
            time.sleep(0.1)
            shop.sendall(answer)
        return True


def _read(side: socket.socket) -> bytes:
    try:
        return side.recv(1 << 20)
    except OSError:
        return b""
