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
    `before` the server gets it or `after` the server replied, `half closed`, or the reply comes `late`. `commits` are
    the numbers of the messages with a COMMIT, from `arm` to `disarm`.
    """

    def __init__(self, server: Path, folder: Path) -> None:
        self.server, self.path = server / SOCKET, folder / SOCKET
        self.lock, self.is_armed, self.number, self.how = threading.Lock(), False, 0, ""
        self.messages, self.commits = 0, list[int]()
        self.listening = socket.socket(socket.AF_UNIX)

    def arm(self, number: int, how: str) -> None:
        with self.lock:
            self.is_armed, self.number, self.how = True, number, how
            self.messages, self.commits = 0, []

    def disarm(self) -> bool:
        """Forward everything from now on; return whether the fault was triggered."""
        with self.lock:
            self.is_armed = False
            return 0 < self.number <= self.messages

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

    def _fault(self, data: bytes) -> str:
        with self.lock:
            if not self.is_armed:
                return ""
            self.messages += 1
            if b"COMMIT" in data:
                self.commits.append(self.messages)
            return self.how if self.messages == self.number else ""

    def _forward(self, shop: socket.socket, server: socket.socket) -> None:
        with shop, server, suppress(OSError):  # one of the two has disconnected
            while True:
                for side in select([shop, server], [], [])[0]:
                    if not (data := _read(side)) or not self._send(data, side, shop, server):
                        return

    def _send(self, data: bytes, side: socket.socket, shop: socket.socket, server: socket.socket) -> bool:
        """Forward a message unless the connection is to be cut; return whether the connection stays open."""
        fault = self._fault(data) if side is shop else ""
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
