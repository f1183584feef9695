"""Sending a delivery: one POST over TLS to a checked IP address within a time limit, reading only the response status.

Redirects and proxies from the environment are ignored, because their addresses would not have been checked.
"""

import ssl
import time
from collections.abc import Iterable, Mapping
from typing import Any

import httpcore

from bookshop.webhooks.addresses import AddressNotAllowed, Url, resolve_allowed

TOO_LATE = "The receiver did not answer in time."


class Unreachable(Exception):
    """The receiver is down, hangs or has an address that is not allowed, so trying another delivery is pointless."""


class NoResponse(Exception):
    """The receiver was reached, but closed the connection or gave no valid HTTP response."""


class Transport:
    """Sends deliveries, each within `timeout` seconds; `private` allows receivers in private networks."""

    def __init__(self, *, timeout: float, private: bool) -> None:
        self.timeout, self.private = timeout, private
        self.encryption = ssl.create_default_context()  # loads all CA certificates, so once for a batch

    def post(self, url: Url, headers: Mapping[bytes | str, bytes | str], body: bytes) -> int:
        """Send a request and return the response status; raises Unreachable or NoResponse."""
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
            raise NoResponse(f"The receiver gave no valid response: {error or type(error).__name__}") from error


def _posted(
    url: Url, headers: Mapping[bytes | str, bytes | str], body: bytes, connections: httpcore.ConnectionPool
) -> int:
    target = httpcore.URL(scheme=b"https", host=url.host.encode(), port=url.port, target=url.target.encode())
    with_host = {"Host": url.authority, **headers}
    with connections, connections.stream("POST", target, headers=with_host, content=body) as response:
        return int(response.status)


class _Backend(httpcore.NetworkBackend):
    """Connects only to the IP addresses that were checked, without resolving the host name again."""

    def __init__(self, url: Url, deadline: float, private: bool) -> None:
        self.url, self.deadline, self.private = url, deadline, private
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
        addresses = resolve_allowed(self.url, private=self.private, timeout=_seconds_left(self.deadline))
        for remaining, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            share = _seconds_left(self.deadline) / remaining  # so that an unresponsive address leaves time for the next
            try:
                stream = self.network.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                refusal = error
            else:
                return _Stream(stream, self.deadline)
        raise refusal


class _Stream(httpcore.NetworkStream):
    """A connection with one deadline for all operations, so that a receiver cannot extend it by sending slowly."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self.stream, self.deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, _seconds_left(self.deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, _seconds_left(self.deadline))

    def close(self) -> None:
        self.stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self.stream.start_tls(ssl_context, server_hostname, _seconds_left(self.deadline)), self.deadline)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


def _seconds_left(deadline: float) -> float:
    """Return the seconds left until a deadline; raises httpcore's timeout error if it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout(TOO_LATE)
    return left
