"""How a message leaves: to a mail server (SMTP, RFC 5321) or, where none is set, into a folder."""

import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from threading import Timer
from urllib.parse import SplitResult, unquote, urlsplit

import idna

from bookshop.config import SMTP_PORTS, Settings

# Answers that are about us, our commands or our login, though they are given to a recipient: RFC 5321 and 4954.
ABOUT_US = {500, 502, 503, 504, 530, 534, 535, 538}

Send = Callable[[str, EmailMessage], None]


class Rejected(Exception):
    """The mail server does not take this message for this recipient, and never will."""


class Deferred(Exception):
    """The mail server does not take this message now; the next one it may."""


class Unreachable(Exception):
    """The mail server is away, slow, or takes nothing from us: no use to try another message at once."""


class ConnectionLost(Unreachable):
    """The mail server had closed the connection before it was offered the message."""


@contextmanager
def open_transport(settings: Settings, timeout: float, limit: float) -> Iterator[Send]:
    """The way out for some messages: a function that sends one, and raises Refused, PutOff or Unreachable.

    No answer of the server is waited for longer than `timeout` seconds, and after `limit` the connection is cut, so
    that a server that answers by single letters, be it to our greeting or good-bye, does not hold a worker beyond its
    lease. Raises Unreachable.
    """
    if not settings.smtp_url:
        yield _into_folder(settings.mail_folder)
        return
    url = urlsplit(settings.smtp_url)
    server = _client(url, settings.mail_host, timeout)
    watch = Timer(limit, _cut, [server])
    watch.daemon = True
    watch.start()
    try:
        _connect(server, url)
        yield lambda recipient, message: _send(server, settings.sender, recipient, message)
    finally:
        with suppress(OSError, smtplib.SMTPException):
            server.quit()
        watch.cancel()
        server.close()


def _client(url: SplitResult, me: str, timeout: float) -> smtplib.SMTP:
    """A client that is not connected yet: so there is something to cut while it is connecting."""
    if url.scheme == "smtps":
        context = ssl.create_default_context()
        server: smtplib.SMTP = smtplib.SMTP_SSL(local_hostname=me, timeout=timeout, context=context)
    else:
        server = smtplib.SMTP(local_hostname=me, timeout=timeout)
    server._host = str(url.hostname)  # type: ignore[attr-defined]  # whose certificate it is, said by no other way
    return server


def _connect(server: smtplib.SMTP, url: SplitResult) -> None:
    try:
        code, reply = server.connect(str(url.hostname), url.port or SMTP_PORTS[url.scheme])
        if code != 220:
            raise Unreachable(_reply(code, reply))
        if url.scheme == "smtp+starttls":
            server.starttls(context=ssl.create_default_context())
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
        server.ehlo_or_helo_if_needed()
    except (OSError, smtplib.SMTPException, ValueError) as error:  # ValueError: what cannot be said in ASCII
        raise Unreachable(_words(error)) from error


def _cut(server: smtplib.SMTP) -> None:
    with suppress(OSError):
        if server.sock is not None:
            server.sock.shutdown(socket.SHUT_RDWR)


def _send(server: smtplib.SMTP, sender: str, recipient: str, message: EmailMessage) -> None:
    """Hand over one message; returns only when the server has said that it is responsible for it now (250).

    4xx is for later and 5xx for good (RFC 5321, 4.2.1), if it is about the recipient or the message. What is about us
    or the connection says nothing of this message.
    """
    whole = message.as_bytes()
    beyond_ascii = bool(getattr(message.policy, "utf8", False))  # in the address: RFC 6531
    if beyond_ascii and not server.has_extn("smtputf8"):
        raise Rejected("The mail server takes no addresses with letters beyond ASCII (SMTPUTF8).")
    try:
        _offer(server, sender, ["SMTPUTF8"] if beyond_ascii else [])
        _expect_250(server, *server.rcpt(envelope(recipient)))
        _expect_250(server, *server.data(whole))
    except smtplib.SMTPDataError as error:  # not the 354 that asks for the message: even 250 is no yes here
        raise _refusal(server, error.smtp_code, error.smtp_error) from error
    except (OSError, smtplib.SMTPException) as error:
        raise Unreachable(_words(error)) from error


def _offer(server: smtplib.SMTP, sender: str, options: Sequence[str]) -> None:
    """Begin a message; whatever the server says to that is about us."""
    try:
        code, reply = server.mail(sender, options)
    except smtplib.SMTPServerDisconnected as error:
        raise ConnectionLost(_words(error)) from error
    if code != 250:
        raise ConnectionLost(_reply(code, reply)) if code == 421 else Unreachable(_reply(code, reply))


def _expect_250(server: smtplib.SMTP, code: int, reply: bytes | str) -> None:
    if code not in {250, 251}:
        raise _refusal(server, code, reply)


def _refusal(server: smtplib.SMTP, code: int, reply: bytes | str) -> Exception:
    """What an answer to a recipient or a message means that is not yes; the server is made ready for the next one.

    After a good-bye, and after what is no answer to our question, nothing that this connection says is to be believed.
    """
    if code == 421 or code in ABOUT_US or not 400 <= code < 600:
        return Unreachable(_reply(code, reply))
    with suppress(OSError, smtplib.SMTPException):  # who has hung up will be found out by the next message
        server.rset()
    return (Deferred if code < 500 else Rejected)(_reply(code, reply))


def envelope(recipient: str) -> str:
    """An address as mail servers know it: with its domain in ASCII (RFC 5891)."""
    name, _at, domain = recipient.rpartition("@")
    return f"{name}@{domain if domain.isascii() else idna.encode(domain).decode()}"


def _words(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return _reply(error.smtp_code, error.smtp_error)
    if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
        return "The mail server did not answer in time."
    return f"The mail server could not be used: {error}"


def _reply(code: int, reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return " ".join(f"{code} {text}".split())


def _into_folder(folder: Path) -> Send:
    """Write messages into a folder, each whole or not at all, under their Message-IDs: one sent twice is there once."""

    def send(_recipient: str, message: EmailMessage) -> None:
        path = file_of(folder, message["Message-ID"])
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            new = path.with_suffix(".new")
            new.touch(mode=0o600)
            new.write_bytes(message.as_bytes())
            new.replace(path)
        except OSError as error:
            raise Unreachable(f"The folder for mail cannot be written to: {error}") from error

    return send


def file_of(folder: Path, message_id: str) -> Path:
    """Where a message with this Message-ID is, or would be, in a folder."""
    return folder / f"{message_id.strip('<>').partition('@')[0]}.eml"
