"""Sending messages to a mail server (SMTP, RFC 5321) or, if none is configured, writing them to a folder."""

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

# Replies about our commands or our login, not about the recipient or the message: RFC 5321 and 4954.
CLIENT_ERRORS = {500, 502, 503, 504, 530, 534, 535, 538}

Send = Callable[[str, EmailMessage], None]


class Rejected(Exception):
    """The mail server has permanently refused this message for this recipient."""


class Deferred(Exception):
    """The mail server has refused this message for now, but may accept others."""


class Unreachable(Exception):
    """The mail server is down, slow or refuses everything, so that trying another message now is pointless."""


class ConnectionLost(Unreachable):
    """The mail server had already closed the connection before this message was offered."""


@contextmanager
def open_transport(settings: Settings, timeout: float, limit: float) -> Iterator[Send]:
    """Open a connection and yield a function that sends one message and raises Rejected, Deferred or Unreachable.

    Waits at most `timeout` seconds for each reply, and closes the connection after `limit` seconds in total, so that a
    server that replies a byte at a time cannot hold a worker beyond its lease. Raises Unreachable.
    """
    if not settings.smtp_url:
        yield _folder_sender(settings.mail_folder)
        return
    url = urlsplit(settings.smtp_url)
    server = _client(url, settings.mail_host, timeout)
    timer = Timer(limit, _disconnect, [server])
    timer.daemon = True
    timer.start()
    try:
        _connect(server, url)
        yield lambda recipient, message: _send(server, settings.sender, recipient, message)
    finally:
        with suppress(OSError, smtplib.SMTPException):
            server.quit()
        timer.cancel()
        server.close()


def _client(url: SplitResult, hostname: str, timeout: float) -> smtplib.SMTP:
    """Create a client that is not connected yet, so that the timer can disconnect it even while it is connecting."""
    if url.scheme == "smtps":
        context = ssl.create_default_context()
        server: smtplib.SMTP = smtplib.SMTP_SSL(local_hostname=hostname, timeout=timeout, context=context)
    else:
        server = smtplib.SMTP(local_hostname=hostname, timeout=timeout)
    server._host = str(url.hostname)  # type: ignore[attr-defined]  # the only way to set the name on the certificate
    return server


def _connect(server: smtplib.SMTP, url: SplitResult) -> None:
    try:
        code, reply = server.connect(str(url.hostname), url.port or SMTP_PORTS[url.scheme])
        if code != 220:
            raise Unreachable(_reply_text(code, reply))
        if url.scheme == "smtp+starttls":
            server.starttls(context=ssl.create_default_context())
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
        server.ehlo_or_helo_if_needed()
    except (OSError, smtplib.SMTPException, ValueError) as error:  # ValueError: not encodable as ASCII
        raise Unreachable(_error_text(error)) from error


def _disconnect(server: smtplib.SMTP) -> None:
    with suppress(OSError):
        if server.sock is not None:
            server.sock.shutdown(socket.SHUT_RDWR)


def _send(server: smtplib.SMTP, sender: str, recipient: str, message: EmailMessage) -> None:
    """Send one message; returns only when the server has accepted responsibility for it (250).

    About the recipient or the message, 4xx is temporary and 5xx permanent (RFC 5321, 4.2.1). Errors of the client or
    the connection say nothing about this message.
    """
    content = message.as_bytes()
    is_utf8 = bool(getattr(message.policy, "utf8", False))  # the address is not ASCII: RFC 6531
    if is_utf8 and not server.has_extn("smtputf8"):
        raise Rejected("The mail server does not accept addresses with non-ASCII letters (SMTPUTF8).")
    try:
        _begin(server, sender, ["SMTPUTF8"] if is_utf8 else [])
        _expect_250(server, *server.rcpt(envelope_address(recipient)))
        _expect_250(server, *server.data(content))
    except smtplib.SMTPDataError as error:  # no 354 in reply to DATA: even 250 does not mean acceptance here
        raise _refusal(server, error.smtp_code, error.smtp_error) from error
    except (OSError, smtplib.SMTPException) as error:
        raise Unreachable(_error_text(error)) from error


def _begin(server: smtplib.SMTP, sender: str, options: Sequence[str]) -> None:
    """Send MAIL FROM; a refusal here is about the client, not the message."""
    try:
        code, reply = server.mail(sender, options)
    except smtplib.SMTPServerDisconnected as error:
        raise ConnectionLost(_error_text(error)) from error
    if code != 250:
        raise ConnectionLost(_reply_text(code, reply)) if code == 421 else Unreachable(_reply_text(code, reply))


def _expect_250(server: smtplib.SMTP, code: int, reply: bytes | str) -> None:
    if code not in {250, 251}:
        raise _refusal(server, code, reply)


def _refusal(server: smtplib.SMTP, code: int, reply: bytes | str) -> Exception:
    """Return the exception for a refused recipient or message, and reset the session for the next message.

    After 421 or an unexpected code, no further reply on this connection can be trusted.
    """
    if code == 421 or code in CLIENT_ERRORS or not 400 <= code < 600:
        return Unreachable(_reply_text(code, reply))
    with suppress(OSError, smtplib.SMTPException):  # a lost connection is noticed at the next message
        server.rset()
    return (Deferred if code < 500 else Rejected)(_reply_text(code, reply))


def envelope_address(recipient: str) -> str:
    """Return an address as used in SMTP: with its domain in ASCII (RFC 5891)."""
    name, _at, domain = recipient.rpartition("@")
    return f"{name}@{domain if domain.isascii() else idna.encode(domain).decode()}"


def _error_text(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return _reply_text(error.smtp_code, error.smtp_error)
    if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
        return "The mail server did not answer in time."
    return f"The mail server could not be used: {error}"


def _reply_text(code: int, reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return " ".join(f"{code} {text}".split())


def _folder_sender(folder: Path) -> Send:
    """Return a function that writes messages to a folder atomically, named by Message-ID, so that resends overwrite."""

    def send(_recipient: str, message: EmailMessage) -> None:
        path = message_path(folder, message["Message-ID"])
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = path.with_suffix(".new")
            temporary.touch(mode=0o600)
            temporary.write_bytes(message.as_bytes())
            temporary.replace(path)
        except OSError as error:
            raise Unreachable(f"The mail folder cannot be written to: {error}") from error

    return send


def message_path(folder: Path, message_id: str) -> Path:
    """Return the path of the message with this Message-ID in a folder, whether or not it exists."""
    return folder / f"{message_id.strip('<>').partition('@')[0]}.eml"
