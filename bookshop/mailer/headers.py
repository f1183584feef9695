"""The headers of messages (RFC 5322), where Python's email package would break what is long, odd or beyond ASCII."""

from email.header import Header
from email.headerregistry import HeaderRegistry, UnstructuredHeader
from email.policy import SMTP, Policy
from email.utils import quote
from functools import cache
from typing import Any


class GivenHeader(UnstructuredHeader):
    """A header as it is given, in one line: folded or encoded, as those for people are, a link or an id would break."""

    name: str

    @classmethod
    def parse(cls, value: str, kwds: dict[str, Any]) -> None:
        """Keep the value as it is given: what looks encoded is not."""
        super().parse("", kwds)
        kwds["decoded"] = value

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {self.encoded(policy.linesep)}{policy.linesep}"

    def encoded(self, _linesep: str) -> str:
        """The value as it is sent."""
        return str(self)


class WordsHeader(GivenHeader):
    """A header for people (RFC 2047). Left to the email package, a long word or name comes back with other blanks."""

    def encoded(self, linesep: str) -> str:
        return _in_ascii(str(self), linesep)


class SenderHeader(GivenHeader):
    """A name and an address in angle brackets."""

    def encoded(self, linesep: str) -> str:
        name, _blank, address = str(self).rpartition(" ")
        phrase = f'"{quote(name)}"' if name.isascii() and "=?" not in name else _in_ascii(name, linesep)
        return f"{phrase}{linesep} {address}"


def _in_ascii(text: str, linesep: str) -> str:
    charset = "us-ascii" if text.isascii() and "=?" not in text else "utf-8"
    return Header(text, charset, header_name="Subject").encode(linesep=linesep)


class Headers(HeaderRegistry):
    """The headers that the shop writes. The email package would make a class anew for each header of each message."""

    @cache  # noqa: B019 - there is one such object, for ever
    def __getitem__(self, name: str) -> type:
        return super().__getitem__(name)


HEADERS = Headers(default_class=GivenHeader, use_default_map=False)
HEADERS.map_to_type("subject", WordsHeader)  # type: ignore[arg-type]  # it is mixed into BaseHeader
HEADERS.map_to_type("from", SenderHeader)  # type: ignore[arg-type]
# Everything in ASCII, as not every relay on the way takes eight bits; but for an address that is not (RFC 6532).
POLICY = SMTP.clone(cte_type="7bit", header_factory=HEADERS)
POLICY_BEYOND_ASCII = POLICY.clone(utf8=True)
