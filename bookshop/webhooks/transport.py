"""How a delivery leaves: one POST over TLS, to a vetted address, within a time; of the answer only the status is read.

No redirect is followed and no proxy of the environment used, as they would lead to where nobody has looked.
"""

import ssl
import time
from collections.abc import Iterable, Mapping
from typing import Any

import httpcore

from bookshop.webhooks.addresses import AddressNotAllowed, Url, vetted

TOO_LATE = "The receiver did not answer in time."


class Unreachable(Exception):
    """The receiver is away, hangs, or is where webhooks may not go: no use to try another delivery at once."""


class Broken(Exception):
    """The receiver was there, but what it said is no answer."""


class Transport:
    """The way out for some deliveries: it goes to private networks if `private`, and each takes `timeout` at most."""

    def __init__(self, *, timeout: float, private: bool) -> None:
        self.timeout, self.private = timeout, private
        self.encryption = ssl.create_default_context()  # which reads all authorities: once for a batch

    def post(self, url: Url, headers: Mapping[bytes | str, bytes | str], body: bytes) -> int:
        """Send a body, and return the status of the answer; raises Unreachable or Broken."""
        backend = _Backend(url, time.monotonic() + self.timeout, self.private)
        try:
            return _posted(url, headers, body, httpcore.ConnectionPool(self.encryption, network_backend=backend))
        except AddressNotAllowed as error:
            raise Unreachable(str(error)) from error
        except httpcore.TimeoutException as error:
            raise Unreachable(TOO_LATE) from error
        except (httpcore.ConnectError, ssl.SSLError) as error:
            raise Unreachable(f"The receiver could not be reached: {error}") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise Broken(f"The receiver broke off: {error or type(error).__name__}") from error


def _posted(
    url: Url, headers: Mapping[bytes | str, bytes | str], body: bytes, connections: httpcore.ConnectionPool
) -> int:
    target = httpcore.URL(scheme=b"https", host=url.host.encode(), port=url.port, target=url.target.encode())
    named = {"Host": url.authority, **headers}
    with connections, connections.stream("POST", target, headers=named, content=body) as answer:
        return int(answer.status)


class _Backend(httpcore.NetworkBackend):
    """Connects to the addresses that were vetted, whatever the name leads to a moment later."""

    def __init__(self, url: Url, ends: float, private: bool) -> None:
        self.url, self.ends, self.private = url, ends, private
        self.network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        refusal: Exception = AddressNotAllowed(f"{host} has no address.")
        addresses = vetted(self.url, private=self.private, timeout=_left(self.ends))
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            share = _left(self.ends) / left  # so that one address that says nothing leaves time for the next
            try:
                stream = self.network.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                refusal = error
            else:
                return _Stream(stream, self.ends)
        raise refusal


class _Stream(httpcore.NetworkStream):
    """A connection on which everything together ends in time, also if the other side sends a byte a second."""

    def __init__(self, stream: httpcore.NetworkStream, ends: float) -> None:
        self.stream, self.ends = stream, ends

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, _left(self.ends))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, _left(self.ends))

    def close(self) -> None:
        self.stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self.stream.start_tls(ssl_context, server_hostname, _left(self.ends)), self.ends)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


def _left(ends: float) -> float:
    """The seconds that are left; raises what httpcore says when there are none."""
    left = ends - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout(TOO_LATE)
    return left
