"""The addresses of webhooks: which URLs are valid, and which networks their hosts must not be in."""

import re
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

import idna

from bookshop.kit.exceptions import Invalid

URL_MAX = 500
HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|[0-9a-f:.]+")
TARGET = re.compile(r"[!$-;=?-\[\]-~]*")  # ASCII without spaces, quotes, angle brackets, backslash and #
NAT64 = IPv6Network("64:ff9b::/96")
# Not public, although some versions of Python say so: protocol assignments, and documentation (RFC 9637).
NOT_PUBLIC = (IPv4Network("192.0.0.0/24"), IPv6Network("3fff::/20"))
METADATA = (IPv6Address("fd00:ec2::254"), IPv6Address("fd20:ce::254"))  # instance metadata services of two clouds

Address = IPv4Address | IPv6Address


class AddressNotAllowed(Exception):
    """The host name does not resolve, or resolves to a network that webhooks must not call."""


@dataclass(frozen=True)
class Url:
    """A parsed https URL, so that validation, name resolution and the request all use the same parts."""

    host: str
    port: int | None
    target: str

    @property
    def authority(self) -> str:
        """The host and any non-default port, as written in a URL and in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host

    def __str__(self) -> str:
        return f"https://{self.authority}{self.target}"


def parse_url(text: str) -> Url:
    """Parse and normalise a URL; raises Invalid with a sentence that says what to change."""
    try:
        parts = urlsplit(text.strip())
        host, port = _host(parts.hostname or ""), parts.port
    except ValueError:
        raise Invalid("This is not a valid address. Use one such as https://example.com/hooks.", "url") from None
    if parts.scheme != "https":
        raise Invalid("The address must begin with https://.", "url")
    if parts.username is not None or parts.password is not None:
        raise Invalid("The address must not contain a user name or password. The signature is enough.", "url")
    if "#" in text:
        raise Invalid("The address must not contain a #.", "url")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not HOST.fullmatch(host) or port == 0 or not TARGET.fullmatch(target):
        raise Invalid("This is not a valid address. Use one such as https://example.com/hooks.", "url")
    url = Url(host, None if port == 443 else port, target)
    if len(str(url)) > URL_MAX:
        raise Invalid(f"The address is longer than {URL_MAX} characters.", "url")
    return url


def _host(host: str) -> str:
    return host if host.isascii() else idna.encode(host, uts46=True).decode()


def resolve_allowed(url: Url, *, private: bool, timeout: float) -> Sequence[str]:
    """Resolve the host of a URL to IP addresses; raises AddressNotAllowed unless all of them are allowed.

    Connect to one of these without resolving the name again: it could resolve to a different address by then.
    """
    addresses = _resolve_in_thread(url, timeout)
    if not all(is_allowed(ip_address(address), private=private) for address in addresses):
        raise AddressNotAllowed(f"{url.host} leads to a private network or another address that webhooks may not call.")
    return addresses


def _resolve_in_thread(url: Url, timeout: float) -> Sequence[str]:
    """Resolve a host name in a separate thread, because a hanging lookup cannot be interrupted."""
    results: SimpleQueue[Sequence[str]] = SimpleQueue()

    def run() -> None:
        try:
            results.put(resolve(url.host, url.port or 443))
        except (OSError, UnicodeError):
            results.put(())

    threading.Thread(target=run, daemon=True).start()
    try:
        addresses = results.get(timeout=max(timeout, 0))
    except Empty:
        raise AddressNotAllowed(f"{url.host} was not found in time.") from None
    if not addresses:
        raise AddressNotAllowed(f"{url.host} was not found. Check the host name.")
    return addresses


def resolve(host: str, port: int) -> Sequence[str]:
    """Return all IP addresses of a host name or numeric address; raises OSError."""
    results = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_kind, address in results))


def is_allowed(address: Address, *, private: bool) -> bool:
    """Return whether webhooks may call an address: any public one.

    If `private`, also those in private networks and of this machine. Link-local addresses and the metadata services of
    clouds are never allowed.
    """
    if address in METADATA:
        return False
    if isinstance(address, IPv6Address) and (embedded := _embedded(address)):
        return all(is_allowed(inner, private=private) for inner in embedded)
    if private and address.is_loopback:
        return True
    if any((address.is_multicast, address.is_reserved, address.is_unspecified, address.is_link_local)):
        return False
    if private:
        return True
    reserved = any(address in network for network in NOT_PUBLIC) or getattr(address, "is_site_local", False)
    return address.is_global and not reserved


def _embedded(address: IPv6Address) -> Sequence[IPv4Address]:
    """Return the IPv4 addresses embedded in an IPv6 address: mapped, translated or tunnelled."""
    if address in NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    candidates = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    return [embedded for embedded in candidates if embedded is not None]
