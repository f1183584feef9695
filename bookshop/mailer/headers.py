"""Message headers (RFC 5322), where Python's email package would garble long, unusual or non-ASCII values."""

from email.header import Header
from email.headerregistry import HeaderRegistry, UnstructuredHeader
from email.policy import SMTP, Policy
from email.utils import quote
from functools import cache
from typing import Any


class VerbatimHeader(UnstructuredHeader):
    """A header written unchanged on one line, because folding or encoding would break a link or an id."""

    name: str

    @classmethod
    def parse(cls, value: str, kwds: dict[str, Any]) -> None:
        """Store the value unchanged: even if it looks like an encoded word, it is not one."""
        super().parse("", kwds)
        kwds["decoded"] = value

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {self.encoded(policy.linesep)}{policy.linesep}"

    def encoded(self, _linesep: str) -> str:
        """Return the value as it is sent."""
        return str(self)


class SubjectHeader(VerbatimHeader):
    """Text for people, encoded if it is not ASCII (RFC 2047). The email package would change spaces in long words."""

    def encoded(self, linesep: str) -> str:
        return _in_ascii(str(self), linesep)


class SenderHeader(VerbatimHeader):
    """A name followed by an address in angle brackets."""

    def encoded(self, linesep: str) -> str:
        name, _space, address = str(self).rpartition(" ")
        phrase = f'"{quote(name)}"' if name.isascii() and "=?" not in name else _in_ascii(name, linesep)
        return f"{phrase}{linesep} {address}"


def _in_ascii(text: str, linesep: str) -> str:
    charset = "us-ascii" if text.isascii() and "=?" not in text else "utf-8"
    return Header(text, charset, header_name="Subject").encode(linesep=linesep)


class Headers(HeaderRegistry):
    """The headers that the shop writes. The email package would create a new class for each header of each message."""

    @cache  # noqa: B019 - there is only one instance, which is never collected
    def __getitem__(self, name: str) -> type:
        return super().__getitem__(name)


HEADERS = Headers(default_class=VerbatimHeader, use_default_map=False)
HEADERS.map_to_type("subject", SubjectHeader)  # type: ignore[arg-type]  # the registry mixes in BaseHeader
HEADERS.map_to_type("from", SenderHeader)  # type: ignore[arg-type]
# ASCII only, because not every relay is 8-bit clean; non-ASCII addresses are the exception (RFC 6532).
POLICY = SMTP.clone(cte_type="7bit", header_factory=HEADERS)
POLICY_UTF8 = POLICY.clone(utf8=True)
