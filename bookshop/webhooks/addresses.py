"""Where a webhook may go: which addresses are taken, and which networks a name must not lead to."""

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
TARGET = re.compile(r"[!$-;=?-\[\]-~]*")  # ASCII without blanks, quotes, brackets of tags, backslash and #
NAT64 = IPv6Network("64:ff9b::/96")
# Not public, though Python says so, or older versions of it: protocol assignments, and documentation (RFC 9637).
NOT_PUBLIC = (IPv4Network("192.0.0.0/24"), IPv6Network("3fff::/20"))
SECRETS = (IPv6Address("fd00:ec2::254"), IPv6Address("fd20:ce::254"))  # where two clouds tell their machines secrets

Address = IPv4Address | IPv6Address


class AddressNotAllowed(Exception):
    """The name leads to where webhooks may not go, or nowhere; the sentence says which."""


@dataclass(frozen=True)
class Url:
    """An https address, read once: what is looked up, connected to and asked for is always the same."""

    host: str
    port: int | None
    target: str

    @property
    def authority(self) -> str:
        """The host and, if it is not the usual one, the port, as they stand in an address and in a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host

    def __str__(self) -> str:
        return f"https://{self.authority}{self.target}"


def read_url(text: str) -> Url:
    """The address in its one form; raises Invalid with what to write instead."""
    try:
        parts = urlsplit(text.strip())
        host, port = _host(parts.hostname or ""), parts.port
    except ValueError:
        raise Invalid("This is not the address of a receiver, such as https://example.com/hooks.", "url") from None
    if parts.scheme != "https":
        raise Invalid("The address must begin with https://.", "url")
    if parts.username is not None or parts.password is not None:
        raise Invalid("The address must hold no user name and no password. The signature says who calls.", "url")
    if "#" in text:
        raise Invalid("The address must end before the #.", "url")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not HOST.fullmatch(host) or port == 0 or not TARGET.fullmatch(target):
        raise Invalid("This is not the address of a receiver, such as https://example.com/hooks.", "url")
    url = Url(host, None if port == 443 else port, target)
    if len(str(url)) > URL_MAX:
        raise Invalid(f"The address is longer than {URL_MAX} characters.", "url")
    return url


def _host(host: str) -> str:
    return host if host.isascii() else idna.encode(host, uts46=True).decode()


def vetted(url: Url, *, private: bool, timeout: float) -> Sequence[str]:
    """The addresses of the network at which the host of a URL is; raises NotAllowed unless every one may be used.

    Who connects uses one of these and does not look the name up once more: the answer could be another by then.
    """
    addresses = _resolved(url, timeout)
    if not all(may_be_used(ip_address(address), private=private) for address in addresses):
        raise AddressNotAllowed(f"{url.host} leads to a private network or another to which webhooks do not go.")
    return addresses


def _resolved(url: Url, timeout: float) -> Sequence[str]:
    """Look a name up in a thread of its own, as nothing else could be done about a look-up that takes for ever."""
    answers: SimpleQueue[Sequence[str]] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(resolve(url.host, url.port or 443))
        except (OSError, UnicodeError):
            answers.put(())

    threading.Thread(target=ask, daemon=True).start()
    try:
        found = answers.get(timeout=max(timeout, 0))
    except Empty:
        raise AddressNotAllowed(f"{url.host} was not found in time.") from None
    if not found:
        raise AddressNotAllowed(f"{url.host} was not found: no such name is known here.")
    return found


def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses that this machine knows for a name, or that a number stands for; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_kind, address in found))


def may_be_used(address: Address, *, private: bool) -> bool:
    """Whether webhooks may go to an address: a public one or, if `private`, one of the shop's own networks.

    Never to link-local ones, and those others where clouds tell their machines their secrets.
    """
    if address in SECRETS:
        return False
    if isinstance(address, IPv6Address) and (inner := _inside(address)):
        return all(may_be_used(one, private=private) for one in inner)
    if private and address.is_loopback:
        return True
    if any((address.is_multicast, address.is_reserved, address.is_unspecified, address.is_link_local)):
        return False
    if private:
        return True
    reserved = any(address in network for network in NOT_PUBLIC) or getattr(address, "is_site_local", False)
    return address.is_global and not reserved


def _inside(address: IPv6Address) -> Sequence[IPv4Address]:
    """The IPv4 addresses to which an IPv6 address leads in the end: mapped, translated or through a tunnel."""
    if address in NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    return [one for one in inner if one is not None]
